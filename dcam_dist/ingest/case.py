"""One case from its files into the cohort: read, check, orient, find the lungs, measure, resample, write."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcam_dist import __version__
from dcam_dist.cohort import stored_fingerprint, volumes_whole, write_case
from dcam_dist.config import Config
from dcam_dist.errors import DataError
from dcam_dist.ingest.content import content_digest
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.grid import build_levels
from dcam_dist.ingest.images import image_files, read_image
from dcam_dist.ingest.lung_mask import lung_mask_of
from dcam_dist.ingest.scan import Scan, hu_digest
from dcam_dist.metrics.densitometry import densitometry
from dcam_dist.types import CaseRecord, Split

RECIPE = 1
"""Raised whenever the same files would give other voxels, so that stored cases are made anew."""
THICK_MM = 5.0


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


def ingest_case(cohort: Path, job: CaseJob, config: Config, *, assume_hu: bool) -> CaseRecord:
    """Bring one case into the cohort, or leave it where it is stored already, undamaged, from the same files.

    Raises:
        CaseRejected: When the case cannot be used.
    """
    fingerprint = source_fingerprint(job, config, assume_hu=assume_hu)
    stored = _stored(cohort, job.case_id)
    if stored is not None and stored[1] == fingerprint and volumes_whole(cohort, stored[0]):
        return stored[0]
    scan = _read(job, config.ingest.max_voxels, assume_hu=assume_hu)
    lung_mask_DHW, lung_flags = lung_mask_of(scan, job.lung_mask, max_voxels=config.ingest.max_voxels)
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
        flags=(*job.flags, *scan.flags, *_thickness(scan), *lung_flags),
        provenance={
            "format": scan.format,
            "lung_mask": "computed" if job.lung_mask is None else "given",
            "source_fingerprint": fingerprint,
            "hu_sha256": hu_digest(scan.hu_DHW),
            "dcam_dist": __version__,
        },
    )
    write_case(cohort, record, levels)
    return record


def source_fingerprint(job: CaseJob, config: Config, *, assume_hu: bool) -> str:
    """SHA-256 over the content of a case's files and all that decides its stored form, but no path and no time.

    Raises:
        CaseRejected: ``missing_file`` when a file is gone.
    """
    about = (RECIPE, job.case_id, job.patient_key, job.split, job.label, job.kind, job.covariates, job.flags)
    digest = hashlib.sha256(repr((about, config.grid, config.labels, assume_hu)).encode("utf-8", "surrogateescape"))
    for files in job.candidates:
        digest.update(content_digest(files if job.kind == "dicom" else image_files(files[0])))
    if job.lung_mask is not None:
        digest.update(content_digest(image_files(job.lung_mask)))
    return digest.hexdigest()


def _stored(cohort: Path, case_id: str) -> tuple[CaseRecord, str] | None:
    try:
        return stored_fingerprint(cohort, case_id)
    except (DataError, KeyError, TypeError, AttributeError):  # damaged: as good as not there
        return None


def _read(job: CaseJob, max_voxels: int, *, assume_hu: bool) -> Scan:
    if job.kind == "dicom":
        return read_series(job.candidates, assume_hu=assume_hu, max_voxels=max_voxels)
    return read_image(job.candidates[0][0], max_voxels=max_voxels)


def _thickness(scan: Scan) -> tuple[str, ...]:
    return ("thick_slices",) if scan.geometry.spacing_mm[0] > THICK_MM + 1e-3 else ()
