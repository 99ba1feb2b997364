"""Training patches a second: our stream beside loading in nnU-Net's style, TorchIO's Queue and MONAI's datasets.

The same generated cases, patch size and number of workers, all files in the page cache. Before anything is timed, each
side's patches are compared with the store's HU and lung mask at the same place. In each round every side, in an order
drawn anew, first gives as many patches untimed, for it has read ahead while the others had their turn.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch.multiprocessing

from benchmarks import peers
from benchmarks.generated_cohort import Volume, generated, write_generated
from benchmarks.harness import Measured, Options, Series, Target, ratio, seconds_of
from benchmarks.patch_loaders import (
    Batch,
    Setting,
    monai_cached_stream,
    monai_persistent_stream,
    nnunet_style_stream,
    our_stream,
    torchio_stream,
    write_niftis,
    write_nnunet_style,
)
from benchmarks.report import number, table
from dcam_dist.cohort.layout import CASES as STORED_CASES
from dcam_dist.cohort.layout import GRID_LEVEL, LUNG_LABEL
from dcam_dist.config import Config

CASES, SMOKE_CASES = 8, 2
MATRIX, SMOKE_MATRIX = 256, 64
PATCH, SMOKE_PATCH = 96, 32
PATCHES, SMOKE_PATCHES = 80, 4
"""Of a timed turn; TorchIO's queue is as long, so that a turn is one filling of it."""
SAMPLES_PER_VOLUME, SMOKE_SAMPLES = 10, 2
BATCH = 2
OURS, NNUNET, TORCHIO = "ours", "nnU-Net's style, memory-mapped .npy", "TorchIO Queue, .nii.gz"
CACHED, PERSISTENT = "MONAI CacheDataset", "MONAI PersistentDataset"
CLOSE = 1e-5
"""Of values in 0…1, where a Hounsfield unit is 0.0012: more than rounding would be another voxel."""
PAPER_CASES = 2000
NOTES = (
    f"`{OURS}`: `stream_batches` with patch seeds, as a training step reads: a new case for each patch, around a "
    "lung voxel and with lung for an eighth of it where that is found; the case's whole lung mask and the "
    "chunks of HU that the patch touches are read, with size, index and crc32c checked; windowed. Threads in "
    "the training process, at most two volumes a thread ahead. Disk: the training grid and its mask, without "
    "the scan's own resolution.",
    f"`{NNUNET}`: written by us after nnU-Net's description of itself; not nnU-Net. Processes map float32 "
    "volumes that were normalized beforehand and copy a crop; a third of the patches around foreground, the "
    "rest anywhere. Nothing is decompressed, windowed or checked. Its newer blosc2 files are left out: their "
    "library is not in the extra `bench`.",
    f"`{TORCHIO}`: its processes decode and window whole volumes (`Clamp`, `RescaleIntensity`), of each of which "
    "the queue takes several patches by `UniformSampler`: near in time they are of a few cases.",
    f"`{CACHED}`, `{PERSISTENT}`: `LoadImaged`, `EnsureChannelFirstd`, `ScaleIntensityRanged`, "
    "`RandSpatialCropd`, MONAI's DataLoader. Patches anywhere. The one keeps every volume decoded in memory, "
    "the other reads a whole one a patch.",
    "No side augments. The uniform ones may give patches without lung, which no training step here could use.",
    "Set-up: `written` from arrays in memory to files, all cases (ours with fsync and SHA-256); `first batch` "
    "from nothing opened to one batch: processes started, caches filled.",
    "The 20-fold target of a single TorchIO patch holds for a volume opened for that patch alone, and 40 times "
    "its size. The Queue shares out the decoding over several patches, so that here no more is asked than not "
    "to be slower.",
)


def peers_loading(options: Options) -> Measured:
    """All sides in turn."""
    volumes = _volumes(options)
    setting = _setting(options)
    sides, missing = _sides(options, setting, volumes)
    written, firsts = {name: seconds_of(side.write)[0] for name, side in sides.items()}, {}
    with _spawning(setting.workers), ExitStack() as stack:
        streams: dict[str, Iterator[Batch]] = {}
        for name, side in sides.items():
            started = time.perf_counter()
            streams[name] = stack.enter_context(closing(side.stream()))
            first = next(streams[name])
            firsts[name] = time.perf_counter() - started
            check(first, volumes, setting)
        rates = _rates(streams, setting, options)
    disk = {name: side.disk() for name, side in sides.items()}
    return Measured(
        title="Training patches a second beside what one would use instead",
        config=_described(setting, volumes),
        series=(
            *rates.values(),
            *(Series(f"{name}: written", "s", (taken,)) for name, taken in written.items()),
            *(Series(f"{name}: first batch", "s", (taken,)) for name, taken in firsts.items()),
        ),
        targets=tuple(
            Target(ratio(f"{OURS} / {name}", rates[OURS], rates[name]), 1.0, "at_least")
            for name in rates
            if name == TORCHIO
        ),
        notes=(*NOTES, _in_memory(setting, volumes), *missing),
        details={"disk_bytes": disk},
        tables={"Medians": _table(rates, disk, written, firsts, setting)},
    )


def check(batch: Batch, volumes: Mapping[str, Volume], setting: Setting) -> None:
    """Compare patches with the volumes that they were written from, at their place.

    Args:
        batch: The patches.
        volumes: HU and lung mask by case.
        setting: Window and shape of a patch.

    Raises:
        AssertionError: When a voxel differs.
    """
    low, high = setting.window_hu
    places = batch.places()
    assert len(places) == setting.batch
    for (case_id, start), volume, mask in zip(places, batch.volume, batch.mask, strict=True):
        box = tuple(slice(first, first + size) for first, size in zip(start, setting.patch, strict=True))
        hu, lungs = (array[box] for array in volumes[case_id])
        expected = np.clip((hu.astype(np.float64) - low) / (high - low), 0, 1)
        found, found_mask = (np.asarray(one[0]) for one in (volume, mask))
        if batch.axes_xyz:
            found, found_mask = found.T, found_mask.T
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE, err_msg=case_id)
        np.testing.assert_array_equal(found_mask != 0, lungs != 0, err_msg=case_id)


def _volumes(options: Options) -> dict[str, Volume]:
    if options.smoke:
        return generated(SMOKE_CASES, options.seed, SMOKE_MATRIX)
    return generated(CASES, options.seed, MATRIX)


def _setting(options: Options) -> Setting:
    patches = SMOKE_PATCHES if options.smoke else PATCHES
    edge = SMOKE_PATCH if options.smoke else PATCH
    return Setting(
        patch=(edge, edge, edge),
        batch=BATCH,
        batches=2 * (options.repeats + 1) * patches // BATCH,
        workers=0 if options.smoke else options.cores,
        window_hu=Config().data.window_hu,
        queue=patches,
        samples_per_volume=SMOKE_SAMPLES if options.smoke else SAMPLES_PER_VOLUME,
    )


def _sides(options: Options, setting: Setting, volumes: Mapping[str, Volume]) -> "tuple[dict[str, Side], list[str]]":
    cohort, arrays, niftis, cache = (options.scratch / name for name in ("cohort.zarr", "arrays", "nifti", "cache"))
    stored = (GRID_LEVEL, f"labels/{LUNG_LABEL}/{GRID_LEVEL}")
    sides = {
        OURS: Side(
            lambda: write_generated(volumes, Config(), cohort),
            lambda: our_stream(setting, cohort, options.seed),
            lambda: sum(_size(cohort / STORED_CASES / case_id / level) for case_id in volumes for level in stored),
        ),
        NNUNET: Side(
            lambda: write_nnunet_style(arrays, volumes, setting.window_hu),
            lambda: nnunet_style_stream(setting, arrays),
            lambda: _size(arrays),
        ),
    }
    decoded: list[tuple[str, Callable[[Path], Generator[Batch]], Path | None]] = []
    decoded += [(TORCHIO, partial(torchio_stream, setting), None)] if peers.find("torchio") else []
    if peers.find("monai.data", "nibabel"):
        decoded += [(CACHED, partial(monai_cached_stream, setting), None)]
        decoded += [(PERSISTENT, partial(monai_persistent_stream, setting, cache=cache), cache)]
    for name, stream, also in decoded:
        own = niftis.with_name(f"nifti-{len(sides)}")
        sides[name] = Side(partial(write_niftis, own, volumes), partial(stream, own), partial(_sizes, own, also))
    missing = [peers.absent("TorchIO")] if TORCHIO not in sides else []
    return sides, missing + ([peers.absent("MONAI")] if CACHED not in sides else [])


def _rates(streams: Mapping[str, Iterator[Batch]], setting: Setting, options: Options) -> dict[str, Series]:
    names, rng = list(streams), np.random.default_rng(options.seed)
    found: dict[str, list[float]] = {name: [] for name in names}
    batches = setting.queue // setting.batch
    for _ in range(options.repeats):
        for index in rng.permutation(len(names)):
            stream = streams[names[index]]
            _take(stream, batches)
            found[names[index]].append(setting.queue / seconds_of(partial(_take, stream, batches))[0])
    return {name: Series(name, "patches/s", tuple(samples)) for name, samples in found.items()}


def _take(stream: Iterator[Batch], batches: int) -> None:
    assert sum(1 for _ in islice(stream, batches)) == batches


@contextmanager
def _spawning(workers: int) -> Iterator[None]:
    """TorchIO's queue starts its processes in torch's default way and cannot be told another."""
    before = torch.multiprocessing.get_start_method(allow_none=True)
    if workers:
        torch.multiprocessing.set_start_method("spawn", force=True)
    try:
        yield
    finally:
        torch.multiprocessing.set_start_method(before, force=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sizes(files: Path, cache: Path | None) -> int:
    return _size(files) + (_size(cache) if cache else 0)


def _in_memory(setting: Setting, volumes: Mapping[str, Volume]) -> str:
    held = sum(8 * hu.size for hu, _ in volumes.values())
    paper = 8 * PAPER_CASES * int(np.prod(Config().grid.shape))
    queued = setting.queue * 5 * int(np.prod(setting.patch))
    return (
        f"By their types, the CacheDataset holds {held / 1e6:.0f} MB in memory, and would hold {paper / 1e9:.0f} GB "
        f"for {PAPER_CASES} cases of the paper's plan; TorchIO's queue holds up to {queued / 1e6:.0f} MB."
    )


def _table(
    rates: Mapping[str, Series],
    disk: Mapping[str, int],
    written: Mapping[str, float],
    firsts: Mapping[str, float],
    setting: Setting,
) -> str:
    megabytes = 4 * np.prod(setting.patch) / 1e6
    rows = [
        [
            name,
            number(rate.median),
            number(rate.median * float(megabytes)),
            f"{rates[OURS].median / rate.median:.2f}",
            number(disk[name] / 1e6),
            number(written[name]),
            number(firsts[name]),
        ]
        for name, rate in rates.items()
    ]
    head = ["", "patches/s", "MB/s of float32", "ours / this", "disk, MB", "written, s", "first batch, s"]
    return table(head, rows)


def _described(setting: Setting, volumes: Mapping[str, Volume]) -> dict[str, Any]:
    shapes: Sequence[str] = sorted({"×".join(map(str, hu.shape)) for hu, _ in volumes.values()})
    return {
        "cases": len(volumes),
        "volumes": f"{shapes[0]} to {shapes[-1]}",
        "patch": setting.patch,
        "batch": setting.batch,
        "workers": setting.workers or "none (one thread for ours)",
        "patches a turn": setting.queue,
        "patches a volume in the queue": setting.samples_per_volume,
    }


@dataclass(frozen=True)
class Side:
    """One way of loading.

    Attributes:
        write: Writes its files from the volumes in memory.
        stream: Opens them.
        disk: Bytes of all that it has written by then.
    """

    write: Callable[[], object]
    stream: Callable[[], Generator[Batch]]
    disk: Callable[[], int]
