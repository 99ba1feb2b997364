"""Scans a minute on one core: ingest against MONAI's usual preparation, the time of ingest split by stage.

    python -m benchmarks run ingest_throughput --out DIR [--profile cpu|cpu-smoke] [--dicom FOLDER]

One scan, one process, one core, from DICOM files in the page cache to files on disk. Twice: with the lung mask given to
both sides, which is like for like; and all in, where ingest finds the lungs itself and MONAI crops to the body. MONAI
resamples to the voxel size of ingest's grid.
"""

import multiprocessing
import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from benchmarks import peers
from benchmarks.harness import Measured, Options, Series, Target, Timed, interleave, ratio
from benchmarks.preparation import Bench, ingest_once, monai_once, monai_preparation
from benchmarks.report import number, table
from benchmarks.scans import dicom_folder
from benchmarks.stages import REST, timed_stages
from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.layout import NATIVE_LEVEL
from dcam_dist.cohort.spatial import resample, to_sitk
from dcam_dist.config import load_config

OURS_GIVEN, OURS_ALL = "ingest, mask given", "ingest, all in"
MONAI_GIVEN, MONAI_ALL = "MONAI, mask given", "MONAI, all in"
STAGES: Mapping[str, str] = {
    "dcam_dist.ingest.sources:find_scans": "find and group the files",
    "dcam_dist.ingest.dicom_headers:read_headers": "headers",
    "dcam_dist.ingest.case:source_fingerprint": "fingerprints",
    "dcam_dist.ingest.scan:hu_digest": "fingerprints",
    "dcam_dist.ingest.dicom:read_series": "series checks and pixels",
    "dcam_dist.ingest.scan:make_scan": "HU check and canonical axes",
    "dcam_dist.ingest.lung_mask:lung_mask_of": "lungs",
    "dcam_dist.metrics.densitometry:densitometry": "densitometry",
    "dcam_dist.ingest.grid:build_levels": "crop and grid",
    "dcam_dist.cohort.writer:write_case": "write",
}
NOTES = (
    "ingest: files grouped and hashed, headers and series checked, HU cleaned and checked, canonical axes, "
    "densitometry, crop at the scan's resolution and area-averaged grid, both with masks, compressed, checksummed, "
    "forced to disk, tables. `all in` also segments the lungs.",
    "MONAI: `LoadImaged` (PydicomReader), `EnsureChannelFirstd`, `Orientationd`, `CropForegroundd`, `Spacingd` "
    "(bilinear; nearest for the mask), cropped before resampling, which is its faster order; `numpy.save`, "
    "uncompressed, of the one resampled level. No check, no hash, no crop at the scan's resolution.",
    "MONAI, mask given: cropped to the mask with ingest's margin. MONAI, all in: no lungs are found; cropped to what "
    "is denser than −500 HU.",
    "Peak RSS: a fresh process that does one scan, imports included.",
)


def ingest_throughput(options: Options) -> Measured:
    """Seconds a scan of either side, their ratios, stages and peak memory."""
    folder, origin = dicom_folder(options)
    bench = _prepare(folder, options)
    clocks: dict[str, list[dict[str, float]]] = {OURS_GIVEN: [], OURS_ALL: []}
    contenders: dict[str, Timed] = {
        OURS_GIVEN: partial(_ingest_by_stage, bench, bench.mask, clocks[OURS_GIVEN]),
        OURS_ALL: partial(_ingest_by_stage, bench, None, clocks[OURS_ALL]),
        **_monai_contenders(bench),
    }
    found = interleave(contenders, options.repeats, options.seed)
    stages = {name: _stages(name, seconds[-options.repeats :]) for name, seconds in clocks.items()}
    measured = [OURS_GIVEN] if options.smoke else contenders  # a process each, and imports take seconds
    peaks = {name: _peak_mb(name, bench) for name in measured}
    return Measured(
        title="Ingest: one scan, one core",
        config={
            "scan": origin,
            "shape": bench.record.scan.shape,
            "native crop": bench.record.native.shape,
            "grid": bench.record.grid.shape,
            "processes": 1,
        },
        series=(*found.values(), *stages[OURS_GIVEN], *stages[OURS_ALL]),
        targets=_targets(found),
        notes=NOTES if len(found) > 2 else (*NOTES, peers.absent("MONAI")),
        details={"peak_rss_mb": peaks},
        tables={"Throughput": _table(found, peaks), **{f"Stages: {n}": _stage_table(one) for n, one in stages.items()}},
    )


def _prepare(folder: Path, options: Options) -> Bench:
    """Ingest once, and lay the lungs that it found out on the scan's own grid."""
    settings = ["ingest.workers=1", *(["grid.shape=[32,48,64]"] if options.smoke else [])]
    bench = Bench(folder, Path(), None, load_config(None, settings), options.scratch)  # type: ignore[arg-type]
    cohort = open_cohort(ingest_once(bench, None))
    record = cohort.cases[0]
    mask = to_sitk(cohort.lung_mask(record.case_id, NATIVE_LEVEL).compute(), record.native)
    path = options.scratch / "lungs.nii.gz"
    whole = resample(mask, record.scan, interpolation="nearest", outside=0)
    sitk.WriteImage(to_sitk(whole, record.scan), str(path), useCompression=True)
    return Bench(folder, path, record, bench.config, options.scratch)


def _monai_contenders(bench: Bench) -> dict[str, Timed]:
    if peers.find("monai.transforms", "nibabel") is None:
        return {}
    _check_same_lungs(bench)
    return {
        MONAI_GIVEN: monai_preparation(bench, given=True),
        MONAI_ALL: monai_preparation(bench, given=False),
    }


def _check_same_lungs(bench: Bench) -> None:
    """Both sides' grids hold the same lungs: mean HU and volume agree, up to what resampling does to their rim."""
    image, mask = monai_once(bench, given=True)
    voxel_ml = float(np.prod(bench.record.grid.spacing_mm)) / 1000
    volume_ml = float(np.count_nonzero(mask)) * voxel_ml
    assert abs(float(image[mask > 0].mean()) - bench.record.densitometry["mean_hu"]) < 25
    assert abs(volume_ml / bench.record.densitometry["volume_ml"] - 1) < 0.05


def _ingest_by_stage(bench: Bench, mask: Path | None, clocks: list[dict[str, float]]) -> Path:
    with timed_stages(STAGES, "dcam_dist") as clock:
        out = ingest_once(bench, mask)
    clocks.append(clock.seconds)
    return out


def _stages(of: str, clocks: list[dict[str, float]]) -> list[Series]:
    names = [*dict.fromkeys(STAGES.values()), REST]
    return [Series(f"{of}: {name}", "s", tuple(clock.get(name, 0.0) for clock in clocks)) for name in names]


def _peak_mb(name: str, bench: Bench) -> float:
    """Peak resident memory of a fresh process that does one scan."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_work_and_peak, (name, bench))


def _work_and_peak(name: str, bench: Bench) -> float:
    given = name in (OURS_GIVEN, MONAI_GIVEN)
    if name in (MONAI_GIVEN, MONAI_ALL):
        monai_once(bench, given=given)
    else:
        ingest_once(bench, bench.mask if given else None)
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's peak, where that is higher
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def _targets(found: dict[str, Series]) -> tuple[Target, ...]:
    pairs = (("mask given, like for like", MONAI_GIVEN, OURS_GIVEN), ("all in", MONAI_ALL, OURS_ALL))
    return tuple(
        Target(ratio(f"MONAI / ingest, {name}", found[theirs], found[ours]), 2.0, "at_least")
        for name, theirs, ours in pairs
        if theirs in found
    )


def _table(found: dict[str, Series], peaks: dict[str, float]) -> str:
    rows = []
    for name, one in found.items():
        spread = f"{number(min(one.samples))} … {number(max(one.samples))}"
        processor, peak = number(statistics.median(one.cpu_s)), number(peaks[name]) if name in peaks else "–"
        row = [name, number(60 / one.median), number(one.median), spread, str(len(one.samples)), processor, peak]
        rows.append(row)
    head = ["", "scans a minute a core", "s a scan", "lowest … highest", "n", "processor s", "peak RSS MB"]
    return table(head, rows)


def _stage_table(stages: list[Series]) -> str:
    total = sum(one.median for one in stages)
    rows = [
        [one.name.partition(": ")[2], number(one.median), f"{one.median / total:.0%}"]
        for one in sorted(stages, key=lambda one: -one.median)
    ]
    return table(["stage", "median s", "share"], rows)
