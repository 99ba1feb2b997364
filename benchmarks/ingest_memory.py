"""Peak memory of an ingest worker on a long scan: 512 × 512 × 600, as DICOM, plain and compressed.

    python -m benchmarks run ingest_memory --out DIR [--profile cpu|cpu-smoke] [--dicom FOLDER]

The slices of one scan, each repeated until there are 600, a fraction of a millimetre apart. A fresh process ingests
them into the paper's grid; its peak resident memory counts, imports included, and that of its largest decoding process.
"""

import multiprocessing
import resource
import time
from pathlib import Path

import pydicom
from pydicom.uid import RLELossless, generate_uid

from benchmarks.harness import Measured, Options, Series, Target
from benchmarks.scans import dicom_folder
from dcam_dist.config import load_config
from dcam_dist.ingest import ingest

SLICES, SMOKE_SLICES = 600, 40
BOUND_MB = 1500.0
PLAIN, COMPRESSED = "uncompressed", "RLE"


def ingest_memory(options: Options) -> Measured:
    """Peak resident memory of a worker, and of the decoding process that it starts."""
    folder, origin = dicom_folder(options)
    slices = SMOKE_SLICES if options.smoke else SLICES
    peaks: dict[str, list[tuple[float, float, float]]] = {PLAIN: [], COMPRESSED: []}
    for kind, samples in peaks.items():
        scan = options.scratch / kind
        shape = lengthen(folder, scan, slices, compressed=kind == COMPRESSED)
        for repeat in range(options.repeats):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                out = options.scratch / f"{kind}-{repeat}.zarr"
                samples.append(pool.apply(_ingest_and_peak, (scan, out, options.smoke)))
    own = [Series(f"worker, {kind}", "MB", tuple(one[0] for one in samples)) for kind, samples in peaks.items()]
    decoder = Series("decoding process, RLE", "MB", tuple(one[1] for one in peaks[COMPRESSED]))
    seconds = [Series(f"seconds, {kind}", "s", tuple(one[2] for one in samples)) for kind, samples in peaks.items()]
    return Measured(
        title="Peak memory of an ingest worker",
        config={"scan": origin, "shape": shape, "slices": "each repeated"},
        series=(*own, decoder, *seconds),
        targets=tuple(Target(one, BOUND_MB, "at_most") for one in own),
    )


def lengthen(source: Path, out: Path, slices: int, *, compressed: bool) -> tuple[int, int, int]:
    """Write a series of so many slices, each of the source's repeated, over the source's own extent.

    Returns:
        Its shape.
    """
    out.mkdir()
    files = [(pydicom.dcmread(path, stop_before_pixels=True), path) for path in source.iterdir()]
    ordered = sorted(files, key=lambda file: float(file[0].ImagePositionPatient[2]))
    first, last = (float(ordered[index][0].ImagePositionPatient[2]) for index in (0, -1))
    series, step = generate_uid(), (last - first) / (slices - 1)
    for index in range(slices):
        dataset = pydicom.dcmread(ordered[index * len(ordered) // slices][1])
        x, y, _ = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, f"{first + index * step:.8g}"]
        dataset.SliceThickness, dataset.SeriesInstanceUID = f"{step:.6g}", series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        if compressed:
            dataset.compress(RLELossless)
        dataset.save_as(out / f"{index:04d}.dcm")
    return slices, int(dataset.Rows), int(dataset.Columns)


def _ingest_and_peak(scan: Path, out: Path, smoke: bool) -> tuple[float, float, float]:
    settings = ["ingest.workers=1", *(["grid.shape=[32,48,64]"] if smoke else [])]
    started = time.perf_counter()
    summary = ingest([scan], out, config=load_config(None, settings))
    seconds = time.perf_counter() - started
    if not summary.accepted:
        raise RuntimeError(f"the scan was set aside: {summary.quarantined}")
    status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's peak, where that is higher
    own = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6
    return own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6, seconds
