"""One CT out of the store against MONAI, SimpleITK and TorchIO out of .nii.gz, side by side in one run.

    python -m benchmarks run streaming --out DIR [--profile cpu|cpu-smoke] [--cores N] [--dicom FOLDER]

The same uncropped volume on every side, in the page cache; each side's HU are compared with the others' voxel by voxel
before anything is timed. Every side may use the same cores; gzip uses one in any case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
import zarr

from benchmarks import peers
from benchmarks.harness import Measured, Options, Series, Target, Timed, interleave, ratio
from benchmarks.scans import CASE, WholeScan, whole_scan, write_cohort, write_nifti
from dcam_dist.cohort.layout import CASES, NATIVE_LEVEL, SHARD
from dcam_dist.cohort.store import Cohort

PATCH, SMOKE_PATCH = 128, 32
PATCHES_A_SAMPLE = 4
OURS, DASK, DIRECT = "Zarr → float32 tensor", "Dask path, int16", "zarr directly, int16"
SITK, MONAI = "SimpleITK, .nii.gz, int16", "MONAI LoadImage, .nii.gz"
PERSISTENT = "MONAI PersistentDataset, warm"
PATCH_OURS, PATCH_DIRECT, PATCH_TORCHIO = "patch, Dask path", "patch, zarr directly", "patch, TorchIO, .nii.gz"
NOTES = (
    f"`{OURS}`: `Cohort.hu(...)` of the native level, its one Dask block computed as `Cohort.read` does, then "
    "`torch.from_numpy(...).float()`; size, index and crc32c checked.",
    f"`{MONAI}`: `LoadImage` with the `NibabelReader`, its default for this format, float32 `MetaTensor`.",
    f"`{SITK}`: `ReadImage` alone, without a copy or a conversion to float32.",
    f"`{PERSISTENT}`: `LoadImaged` and `EnsureChannelFirstd` from its own cache, written in the warm-up.",
    f"`{DIRECT}`: `zarr.open_array(...)[...]`; it opens the array each time, as the Dask path does.",
    "Patches begin at random voxels, off the chunks' borders, the same ones on either side; a sample is the mean of "
    f"{PATCHES_A_SAMPLE} for the store and one for TorchIO (`ScalarImage(...)[...]` then `.data`).",
    "Disk: the volume's shard against the dataset's cache file; no lung mask on either side.",
)


@dataclass(frozen=True, eq=False)
class Bench:
    """The one volume in all its forms.

    Attributes:
        scan: In memory, to compare with.
        cohort: Holds it at the native level.
        nifti: The same as ``.nii.gz``.
        cache: Folder of MONAI's persistent dataset.
        size: Edge of a patch.
    """

    scan: WholeScan
    cohort: Cohort
    nifti: Path
    cache: Path
    size: int

    @property
    def shard(self) -> Path:
        """The file that holds the volume."""
        return self.cohort.path / CASES / CASE / NATIVE_LEVEL / SHARD


def streaming(options: Options) -> Measured:
    """Ratios 1 to 4 of whole volumes and patches."""
    scan = whole_scan(options)
    bench = Bench(
        scan,
        write_cohort(scan, options.scratch / "cohort.zarr"),
        write_nifti(scan, options.scratch / "scan.nii.gz"),
        options.scratch / "persistent",
        SMOKE_PATCH if options.smoke else PATCH,
    )
    volumes, missing = _volume_readers(bench)
    patches, also_missing = _patch_readers(bench, options.seed)
    _check_equal(bench, volumes)
    found = interleave(volumes, options.repeats, options.seed)
    found |= interleave(patches, options.repeats, options.seed)
    found |= {name: _scaled(found[name], 1 / PATCHES_A_SAMPLE) for name in (PATCH_OURS, PATCH_DIRECT)}
    disk = _disk(bench)
    return Measured(
        title="Streaming: the store against .nii.gz and cached tensors",
        config=_config(bench, options, disk),
        series=tuple(found.values()),
        targets=_targets(found, disk),
        notes=(*NOTES, *missing, *also_missing),
        details={"disk_bytes": disk},
    )


def to_tensor(cohort: Cohort) -> torch.Tensor:
    """The whole volume as float32 HU, (D, H, W)."""
    return torch.from_numpy(_dask(cohort)).float()


def _dask(cohort: Cohort) -> Any:
    return _block(cohort.hu(CASE, NATIVE_LEVEL))


def _block(lazy: Any) -> Any:
    return lazy.to_delayed().item().compute(scheduler="synchronous")


def _direct(cohort: Cohort) -> Any:
    return zarr.open_array(cohort.path, path=f"{CASES}/{CASE}/{NATIVE_LEVEL}", mode="r")[...]


def _volume_readers(bench: Bench) -> tuple[dict[str, Timed], list[str]]:
    """Every way to the whole volume; MONAI's give it as (x, y, z), the others as (z, y, x)."""
    readers: dict[str, Callable[[], Any]] = {
        OURS: partial(to_tensor, bench.cohort),
        DASK: partial(_dask, bench.cohort),
        DIRECT: partial(_direct, bench.cohort),
        SITK: partial(sitk.ReadImage, str(bench.nifti)),
    }
    monai = peers.find("monai.transforms", "nibabel")
    if monai is None:
        return readers, [peers.absent("MONAI")]
    from monai.data import PersistentDataset  # type: ignore[attr-defined]

    with peers.quiet():
        load = monai.LoadImage(reader="NibabelReader", image_only=True)
        steps = [monai.LoadImaged(keys="image", reader="NibabelReader"), monai.EnsureChannelFirstd(keys="image")]
        keyed = monai.Compose(steps)
    dataset = PersistentDataset([{"image": str(bench.nifti)}], transform=keyed, cache_dir=bench.cache)
    return {**readers, MONAI: lambda: load(str(bench.nifti)), PERSISTENT: lambda: dataset[0]["image"]}, []


def _patch_readers(bench: Bench, seed: int) -> tuple[dict[str, Timed], list[str]]:
    """Each reader goes through the same starts in the same order."""
    rng, edge = np.random.default_rng(seed), bench.size
    limits = [max(size - edge, 0) + 1 for size in bench.scan.hu_DHW.shape]
    boxes = [tuple(slice(s, s + edge) for s in rng.integers(0, limits).tolist()) for _ in range(16)]

    def several(read: Callable[[Any], Any], count: int) -> Timed:
        order = cycle(boxes)
        return lambda: [read(next(order)) for _ in range(count)]

    def lazily(box: Any) -> Any:
        return _block(bench.cohort.hu(CASE, NATIVE_LEVEL)[box])

    def directly(box: Any) -> Any:
        return zarr.open_array(bench.cohort.path, path=f"{CASES}/{CASE}/{NATIVE_LEVEL}", mode="r")[box]

    readers = {PATCH_OURS: several(lazily, PATCHES_A_SAMPLE), PATCH_DIRECT: several(directly, PATCHES_A_SAMPLE)}
    torchio = peers.find("torchio")
    if torchio is None:
        return readers, [peers.absent("TorchIO")]

    def from_torchio(box: Any) -> Any:
        return torchio.ScalarImage(bench.nifti).data[0][tuple(reversed(box))]

    for box in boxes[:2]:
        expected = bench.scan.hu_DHW[box]
        for patch in (lazily(box), directly(box), np.transpose(from_torchio(box).numpy())):
            np.testing.assert_array_equal(patch, expected)
    return {**readers, PATCH_TORCHIO: several(from_torchio, 1)}, []


def _check_equal(bench: Bench, readers: dict[str, Timed]) -> None:
    for name, read in readers.items():
        found: Any = read()
        values = sitk.GetArrayFromImage(found) if name == SITK else np.squeeze(np.asarray(found))
        values = values.T if name in (MONAI, PERSISTENT) else values
        np.testing.assert_array_equal(values, bench.scan.hu_DHW, err_msg=name)


def _targets(found: dict[str, Series], disk: dict[str, int]) -> tuple[Target, ...]:
    wanted = (
        ("1: MONAI LoadImage / ours", MONAI, OURS, 6.0),
        ("1: SimpleITK raw read / ours", SITK, OURS, 1.2),
        ("2: warm PersistentDataset / ours", PERSISTENT, OURS, 0.6),
        ("3: direct zarr / Dask path", DIRECT, DASK, 0.85),
        ("4: TorchIO patch / ours", PATCH_TORCHIO, PATCH_OURS, 20.0),
    )
    ratios = [
        Target(ratio(name, found[above], found[below]), bound, "at_least")
        for name, above, below, bound in wanted
        if above in found
    ]
    if "persistent_dataset" in disk:
        share = Series("2: our disk / PersistentDataset's", "×", (disk["store"] / disk["persistent_dataset"],))
        ratios.append(Target(share, 0.25, "at_most"))
    return tuple(ratios)


def _disk(bench: Bench) -> dict[str, int]:
    sizes = {"store": bench.shard.stat().st_size, "nifti": bench.nifti.stat().st_size}
    cached = sum(path.stat().st_size for path in bench.cache.glob("*.pt")) if bench.cache.is_dir() else 0
    return {**sizes, "persistent_dataset": cached} if cached else sizes


def _config(bench: Bench, options: Options, disk: dict[str, int]) -> dict[str, Any]:
    return {
        "scan": bench.scan.origin,
        "shape": bench.scan.hu_DHW.shape,
        "int16 MB": round(bench.scan.hu_DHW.nbytes / 1e6, 1),
        **{f"{name} MB": round(size / 1e6, 1) for name, size in disk.items()},
        "patch": bench.size,
        "threads of torch and SimpleITK": options.cores,
        "zarr threads": f"zarr's default on {options.cores} cores",
    }


def _scaled(series: Series, factor: float) -> Series:
    samples, cpu_s = (tuple(value * factor for value in values) for values in (series.samples, series.cpu_s))
    return Series(series.name, series.unit, samples, cpu_s)
