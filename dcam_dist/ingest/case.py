"""One case from its files into the cohort: read, check, orient, find the lungs, measure, resample, write."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcam_dist import __version__
from dcam_dist.cohort import VolumeLevels, case_whole, stored_record, write_case
from dcam_dist.config import Config
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected
from dcam_dist.ingest.content import content_digest
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.grid import build_levels
from dcam_dist.ingest.images import image_files, read_image
from dcam_dist.ingest.lung_mask import lung_mask_of
from dcam_dist.ingest.lungs import weights_digest
from dcam_dist.ingest.quality import MONTAGE, montage_of, picture_of
from dcam_dist.ingest.scan import Scan, hu_digest
from dcam_dist.metrics.densitometry import densitometry
from dcam_dist.types import CaseRecord, Split

RECIPE = 3
"""Raised whenever the same files would give other voxels or be set aside, so that stored cases are made anew."""
THICK_MM = 5.0
APART = 1.5
"""Slices whose distance is more than so many thicknesses lie apart."""
THICK_SLICES, SLICES_APART = "thick_slices", "slices_apart"


@dataclass(frozen=True)
class CaseJob:
    """All that a worker needs to know of a case; it carries no patient's name.

    Attributes:
        candidates: Files of the series to choose from, the preferred one first; one image file for an image.
        kind: Whether the candidates are DICOM series or an image file.
        lung_mask: The given mask, if any.
    """

    case_id: str
    patient_key: str
    split: Split
    label: int
    candidates: tuple[tuple[Path, ...], ...]
    kind: Literal["dicom", "image"]
    lung_mask: Path | None = None
    covariates: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case in memory, as a cohort would store it.

    Attributes:
        record: The case.
        levels: Its volumes.
    """

    record: CaseRecord
    levels: VolumeLevels


def ingest_case(cohort: Path, job: CaseJob, config: Config, *, assume_hu: bool) -> CaseRecord:
    """Bring one case into the cohort, or leave it where it is stored already, undamaged, from the same files.

    Raises:
        CaseRejected: When the case cannot be used.
    """
    fingerprint = source_fingerprint(job, config, assume_hu=assume_hu)
    stored = stored_record(cohort, job.case_id)
    unchanged = stored is not None and stored.provenance.get("source_fingerprint") == fingerprint
    if stored is not None and unchanged and case_whole(cohort, job.case_id):
        return stored
    scan = read_scan(job, config.ingest, assume_hu=assume_hu)
    try:
        return _store(cohort, job, config, scan, fingerprint)
    except CaseRejected as fault:
        raise CaseRejected(fault.reason, fault.detail, fault.also, picture_of(scan)) from None


def source_fingerprint(job: CaseJob, config: Config, *, assume_hu: bool) -> str:
    """SHA-256 over the content of a case's files and all that decides its stored form, but no path and no time.

    Raises:
        CaseRejected: ``missing_file`` when a file is gone.
        UsageError: When the network's weights are.
    """
    about = (RECIPE, job.case_id, job.patient_key, job.split, job.label, job.kind, job.covariates, job.flags)
    settings = (config.grid, config.labels, config.ingest.resample_tilt, config.ingest.allow_cut_lungs, assume_hu)
    digest = hashlib.sha256(repr((about, settings)).encode("utf-8", "surrogateescape"))
    for files in job.candidates:
        digest.update(content_digest(files if job.kind == "dicom" else image_files(files[0])))
    if job.lung_mask is not None:
        digest.update(content_digest(image_files(job.lung_mask)))
    elif config.ingest.lungmask_weights is not None:
        digest.update(weights_digest(config.ingest.lungmask_weights))
    return digest.hexdigest()


def read_scan(job: CaseJob, config: IngestConfig, *, assume_hu: bool) -> Scan:
    """The scan of a case in memory.

    Raises:
        CaseRejected: When it cannot be read, or is no chest CT in HU.
    """
    if job.kind == "dicom":
        return read_series(job.candidates, config, assume_hu=assume_hu)
    return read_image(job.candidates[0][0], max_voxels=config.max_voxels)


def prepare_case(job: CaseJob, scan: Scan, config: Config, fingerprint: str) -> PreparedCase:
    """Find the lungs of a scan, measure them, and resample to the training grid; nothing is written.

    Args:
        job: The case.
        scan: Its scan, as ``read_scan`` gives it.
        config: Grid and settings of ingest.
        fingerprint: As ``source_fingerprint`` gives it.

    Raises:
        CaseRejected: When there are no lungs, or they cannot be used.
    """
    lung_mask_DHW, lung_flags = lung_mask_of(scan, job.lung_mask, config.ingest)
    measured = densitometry(scan.hu_DHW, lung_mask_DHW, scan.geometry)
    levels, native, grid = build_levels(scan.hu_DHW, lung_mask_DHW, scan.geometry, config.grid)
    record = CaseRecord(
        case_id=job.case_id,
        patient_key=job.patient_key,
        split=job.split,
        label=job.label,
        scan=scan.scan_geometry,
        native=native,
        grid=grid,
        covariates={**scan.covariates, **dict(job.covariates)},
        densitometry={name: value for name, value in measured.items() if math.isfinite(value)},
        flags=(*job.flags, *scan.flags, *thickness_flags(scan), *lung_flags),
        provenance={
            "format": scan.format,
            "lung_mask": _mask_source(job, config.ingest),
            "source_fingerprint": fingerprint,
            "hu_sha256": hu_digest(scan.hu_DHW),
            "dcam_dist": __version__,
        },
    )
    return PreparedCase(record, levels)


def _store(cohort: Path, job: CaseJob, config: Config, scan: Scan, fingerprint: str) -> CaseRecord:
    prepared = prepare_case(job, scan, config, fingerprint)
    record, levels = prepared.record, prepared.levels
    write_case(cohort, record, levels, {MONTAGE: montage_of(levels, record.native)})
    return record


def _mask_source(job: CaseJob, config: IngestConfig) -> str:
    if job.lung_mask is not None:
        return "given"
    return "computed" if config.lungmask_weights is None else "lungmask"


def thickness_flags(scan: Scan) -> tuple[str, ...]:
    """Whether slices are thick, and whether they lie so far apart that every second one may be missing.

    A DICOM stack has its slices along its first axis, whatever the orientation; of an image file that is not known, so
    the longest edge of its voxels counts.
    """
    spacing_mm = scan.scan_geometry.spacing_mm
    distance_mm = spacing_mm[0] if scan.format == "dicom" else max(spacing_mm)
    thickness_mm = float(scan.covariates.get("slice_thickness_mm", 0.0))
    thick = max(distance_mm, thickness_mm) > THICK_MM + 1e-3
    apart = 0.0 < APART * thickness_mm < distance_mm - 1e-3
    return tuple(name for name, found in ((THICK_SLICES, thick), (SLICES_APART, apart)) if found)
