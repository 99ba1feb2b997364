"""The ways to training patches that ``benchmarks.peers_loading`` compares: each an endless stream of batches.

Every function here that ends in ``_stream`` takes the files and gives batches as a training would take them. Where a
patch lies is worked out only when somebody asks, which is before anything is timed.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, get_worker_info

from benchmarks import peers
from benchmarks.generated_cohort import Volume
from dcam_dist.cohort import open_cohort, stream_batches
from dcam_dist.cohort.patches import lung_patch
from dcam_dist.cohort.spatial import to_sitk
from dcam_dist.config.schema import DataConfig
from dcam_dist.types import Geometry

Place = tuple[str, tuple[int, ...]]
"""A case, and the first voxel of a patch along (z, y, x)."""
AHEAD = 2  # batches that each worker reads ahead, torch's default
FOREGROUND = 0.33  # share of a batch's patches, its last ones, that nnU-Net puts on foreground
LOCATIONS = 10_000  # foreground voxels that nnU-Net keeps of a case to draw from
MANY = 10**7


def our_stream(setting: "Setting", cohort: Path, seed: int) -> Generator["Batch"]:
    """As a training reads: case by case, a patch around lung, windowed, from the chunks that it touches."""
    opened, rng = open_cohort(cohort), np.random.default_rng(seed)
    cases = [case.case_id for case in opened.cases]
    chosen = [rng.choice(cases, setting.batch).tolist() for _ in range(setting.batches)]
    seeds = rng.integers(2**31, size=(setting.batches, setting.batch)).tolist()
    data = DataConfig(patch=setting.patch, threads=max(1, setting.workers), prefetch=max(1, AHEAD * setting.workers))

    def places(case_ids: tuple[str, ...], of_batch: list[int]) -> list[Place]:
        masks = [opened.read(case_id)[1] for case_id in case_ids]
        boxes = [lung_patch(mask, setting.patch, own) for mask, own in zip(masks, of_batch, strict=True)]
        return [(case_id, tuple(s.start for s in box)) for case_id, box in zip(case_ids, boxes, strict=True)]

    for batch, of_batch in zip(stream_batches(opened, chosen, data, patch_seeds=seeds), seeds, strict=True):
        volume, mask = torch.from_numpy(batch.volume_BCDHW), torch.from_numpy(batch.lung_mask_BCDHW)
        yield Batch(volume, mask, partial(places, batch.case_id_B, of_batch))


def write_nnunet_style(folder: Path, volumes: Mapping[str, Volume], window_hu: tuple[float, float]) -> None:
    """As nnU-Net leaves a case unpacked: normalized float32, labels, and where foreground is, each as ``.npy``."""
    folder.mkdir()
    low, high = window_hu
    for case_id, (hu, mask) in volumes.items():
        inside = np.argwhere(mask)
        few = np.random.default_rng(0).choice(len(inside), min(LOCATIONS, len(inside)), replace=False)
        np.save(folder / f"{case_id}_data.npy", np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1))
        np.save(folder / f"{case_id}_seg.npy", mask)
        np.save(folder / f"{case_id}_lung.npy", inside[few])


def nnunet_style_stream(setting: "Setting", folder: Path) -> Generator["Batch"]:
    """Background processes make whole batches of crops of memory-mapped files, cases drawn with replacement."""
    loader = DataLoader(NnunetStyle(folder, setting.patch, setting.batch), batch_size=None, **_workers(setting))
    for volume, mask, case_ids, starts in loader:
        yield Batch(volume, mask, partial(_placed, case_ids, starts))


def write_niftis(folder: Path, volumes: Mapping[str, Volume]) -> None:
    """HU and lung mask of each case as ``.nii.gz``, compressed as SimpleITK does unless told otherwise."""
    folder.mkdir()
    for case_id, (hu, mask) in volumes.items():
        where = Geometry.from_matrix(hu.shape, np.eye(4))
        for name, image in (("ct", to_sitk(hu, where)), ("lungs", to_sitk(mask, where))):
            sitk.WriteImage(image, str(folder / f"{case_id}_{name}.nii.gz"), useCompression=True)


def torchio_stream(setting: "Setting", folder: Path) -> Generator["Batch"]:
    """TorchIO's ``Queue`` with a ``UniformSampler``, several patches of each volume that its processes have decoded."""
    tio: Any = peers.find("torchio")
    subjects = [
        tio.Subject(ct=tio.ScalarImage(files["ct"]), lungs=tio.LabelMap(files["lungs"]), case=files["case"])
        for files in _niftis(folder)
    ]
    low, high = setting.window_hu
    windowed = tio.Compose([tio.Clamp(low, high), tio.RescaleIntensity((0, 1), in_min_max=(low, high))])
    # a small cohort's end would start the processes anew every few volumes, which a real one's does not
    passes = 1 + setting.batches * setting.batch // (len(subjects) * setting.samples_per_volume)
    queue = tio.Queue(
        tio.SubjectsDataset(subjects * passes, transform=windowed),
        setting.queue,
        setting.samples_per_volume,
        tio.UniformSampler(setting.patch[::-1]),
        num_workers=setting.workers,
    )
    for batch in tio.SubjectsLoader(queue, batch_size=setting.batch, num_workers=0):
        starts = batch["location"][:, :3].flip(1)
        yield Batch(batch["ct"]["data"], batch["lungs"]["data"], partial(_placed, batch["case"], starts), axes_xyz=True)


def monai_cached_stream(setting: "Setting", folder: Path) -> Generator["Batch"]:
    """MONAI's ``CacheDataset``: all volumes decoded and windowed in memory."""
    data: Any = peers.find("monai.data")
    with peers.quiet():
        dataset = data.CacheDataset(
            _niftis(folder), _monai_steps(setting), num_workers=max(1, setting.workers), progress=False
        )
        yield from _monai_batches(setting, dataset, folder)


def monai_persistent_stream(setting: "Setting", folder: Path, cache: Path) -> Generator["Batch"]:
    """MONAI's ``PersistentDataset``: the same on disk, written before the first patch."""
    data: Any = peers.find("monai.data")
    with peers.quiet():
        dataset = data.PersistentDataset(_niftis(folder), _monai_steps(setting), cache_dir=cache)
        for number in range(len(dataset)):
            dataset[number]  # its cache drops the affines
        yield from _monai_batches(setting, dataset, None)


def _monai_steps(setting: "Setting") -> Any:
    monai: Any = peers.find("monai.transforms", "nibabel")
    both, (low, high) = ("ct", "lungs"), setting.window_hu
    return monai.Compose(
        [
            monai.LoadImaged(both, reader="NibabelReader"),
            monai.EnsureChannelFirstd(both),
            monai.ScaleIntensityRanged("ct", low, high, 0.0, 1.0, clip=True),
            monai.RandSpatialCropd(both, setting.patch[::-1], random_size=False),
        ]
    )


def _monai_batches(setting: "Setting", dataset: Any, folder: Path | None) -> Iterator["Batch"]:
    data: Any = peers.find("monai.data")
    drawn = RandomSampler(dataset, replacement=True, num_samples=MANY)
    for batch in data.DataLoader(dataset, batch_size=setting.batch, sampler=drawn, **_workers(setting)):
        yield Batch(batch["ct"], batch["lungs"], partial(_monai_places, batch, folder), axes_xyz=True)


def _monai_places(batch: Any, folder: Path | None) -> list[Place]:
    """The first voxel of each patch, from what the crop has made of the affine of its file, or of none (no folder)."""
    import nibabel

    found = []
    for case_id, cropped in zip(batch["case"], batch["ct"].affine, strict=True):
        whole = np.eye(4) if folder is None else nibabel.load(folder / f"{case_id}_ct.nii.gz").affine
        first_xyz = np.linalg.solve(whole, np.asarray(cropped, dtype=float)[:, 3])[:3]
        found.append((case_id, tuple(np.rint(first_xyz[::-1]).astype(int).tolist())))
    return found


def _niftis(folder: Path) -> list[dict[str, str]]:
    cases = sorted(path.name.removesuffix("_ct.nii.gz") for path in folder.glob("*_ct.nii.gz"))
    return [
        {"case": case, **{name: str(folder / f"{case}_{name}.nii.gz") for name in ("ct", "lungs")}} for case in cases
    ]


def _placed(case_ids: list[str], starts: Tensor) -> list[Place]:
    return [(case_id, tuple(start)) for case_id, start in zip(case_ids, starts.tolist(), strict=True)]


def _workers(setting: "Setting") -> dict[str, Any]:
    """Of a DataLoader. Spawned: a fork of a process that has used Zarr or SimpleITK may hang."""
    if not setting.workers:
        return {}
    return {"num_workers": setting.workers, "multiprocessing_context": "spawn", "prefetch_factor": AHEAD}


@dataclass(frozen=True)
class Setting:
    """What all ways have in common.

    Attributes:
        patch: Its shape (z, y, x).
        batch: Patches of a batch.
        batches: How many will be asked for, at most.
        workers: Threads of ours, processes of the others; 0: their main process, one thread of ours.
        window_hu: Mapped to 0…1.
        queue: Patches in TorchIO's queue.
        samples_per_volume: Patches that it takes of a decoded volume.
    """

    patch: tuple[int, int, int]
    batch: int
    batches: int
    workers: int
    window_hu: tuple[float, float]
    queue: int
    samples_per_volume: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches as a training gets them.

    Attributes:
        volume: float32, (B, 1) and three axes: (z, y, x), or (x, y, z) where the way is one of NIfTI's users.
        mask: The lungs', of the same shape.
        places: Gives case and first voxel of each, along (z, y, x).
        axes_xyz: Whether it is (x, y, z).
    """

    volume: Tensor
    mask: Tensor
    places: Callable[[], list[Place]]
    axes_xyz: bool = False


class NnunetStyle(IterableDataset[tuple[Tensor, Tensor, list[str], Tensor]]):
    """Batches of random crops, written after nnU-Net's description of its loading and not after its code."""

    def __init__(self, folder: Path, patch: tuple[int, int, int], batch: int) -> None:
        self.folder, self.patch, self.batch = folder, patch, batch
        self.cases = sorted(path.name.removesuffix("_data.npy") for path in folder.glob("*_data.npy"))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, list[str], Tensor]]:
        worker = get_worker_info()
        rng = np.random.default_rng(0 if worker is None else worker.seed)
        while True:
            cases = rng.choice(self.cases, self.batch).tolist()
            volume = np.empty((self.batch, 1, *self.patch), np.float32)
            mask = np.empty(volume.shape, np.uint8)
            starts = []
            for place, case in enumerate(cases):
                data, lungs = (np.load(self.folder / f"{case}_{what}.npy", mmap_mode="r") for what in ("data", "seg"))
                on_lung = place >= round(self.batch * (1 - FOREGROUND))
                starts.append(self._start(case, data.shape, rng, on_lung=on_lung))
                box = tuple(slice(start, start + size) for start, size in zip(starts[-1], self.patch, strict=True))
                volume[place, 0], mask[place, 0] = data[box], lungs[box]
            yield torch.from_numpy(volume), torch.from_numpy(mask), cases, torch.tensor(np.stack(starts))

    def _start(
        self, case: str, shape: tuple[int, ...], rng: np.random.Generator, *, on_lung: bool
    ) -> NDArray[np.int64]:
        last = np.subtract(shape, self.patch)
        if not on_lung:
            return rng.integers(last + 1)
        centre = rng.choice(np.load(self.folder / f"{case}_lung.npy", mmap_mode="r"))
        start: NDArray[np.int64] = np.clip(centre - np.floor_divide(self.patch, 2), 0, last)
        return start
