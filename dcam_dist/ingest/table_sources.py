"""Rows of a case table as scans. A row that cannot be used is a scan at fault, not an error."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.case_table import TableRow
from dcam_dist.ingest.dicom_headers import claims_dicom, looks_like_dicom
from dcam_dist.ingest.images import image_suffix
from dcam_dist.ingest.labels import parse_label
from dcam_dist.ingest.scan_source import (
    ScanSource,
    Series,
    dicom_sources,
    image_source,
    series_sources,
    walk_files,
)
from dcam_dist.ingest.search import Search
from dcam_dist.types import UNASSIGNED, Split

SEVERAL_SERIES = "several_series"
UNREADABLE_FILES = "unreadable_files"


def row_source(folder: Path, row: TableRow, label_names: Sequence[str] | None, search: Search) -> ScanSource:
    """The scan of one row.

    Args:
        folder: What the row's paths are relative to.
        row: The row.
        label_names: The label set; ``None``: its label is not looked at.
        search: Counts the files.
    """
    path = folder / row.image
    try:
        _refuse_folder_above(path, folder)
        source = _row_image(path, search)
        described = replace(
            source,
            lung_mask=_row_mask(folder / row.lung_mask) if row.lung_mask else None,
            split=_row_split(row.split),
            label=UNASSIGNED if label_names is None else parse_label(row.label, label_names),
        )
    except CaseRejected as rejected:
        identity = f"path:{os.path.abspath(path)}"  # noqa: PTH100 - resolve() fails on what is no path at all
        described = ScanSource(None, identity, identity, path, fault=(rejected.reason, rejected.detail))
    if row.case_id:
        own = described.patient == described.identity
        patient = f"given:{row.case_id}" if own else described.patient
        described = replace(described, given_id=row.case_id, patient=patient)
    if row.patient_id:
        described = replace(described, patient=f"patient:{row.patient_id}")
    return replace(described, covariates=row.covariates)


def _refuse_folder_above(path: Path, folder: Path) -> None:
    """A folder that holds the table itself is no one scan, and ``/`` would be searched for days."""
    if _exists(path, folder=True) and any(path.samefile(above) for above in folder.resolve().parents):
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "the image of this row is a folder above the table")


def _row_image(path: Path, search: Search) -> ScanSource:
    if _exists(path, folder=True):
        return _folder_source(path, search)
    if not _exists(path):
        raise CaseRejected(Reason.MISSING_FILE, "the image of this row does not exist")
    if image_suffix(path):
        return next(image_source(file, search) for file in search.met([path]))
    found = list(dicom_sources(search.met([path]), search)) if looks_like_dicom(path) else []
    if not found:
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "the image of this row is no NIfTI, NRRD, MetaImage or DICOM")
    if not found[0].candidates and found[0].fault:  # the row's own fault, not that of its folder
        raise CaseRejected(*found[0].fault)
    return found[0]


def _folder_source(folder: Path, search: Search) -> ScanSource:
    """One case of a folder: its CT series with the most slices, the smaller ones without a fault in reserve."""
    closed: list[Path] = []
    read = search.headers(path for path in search.met(walk_files(folder, closed)) if looks_like_dicom(path))
    if closed:
        raise CaseRejected(Reason.UNREADABLE, f"folders of this row that cannot be read (permission?): {len(closed)}")
    unreadable = any(header is None and claims_dicom(path) for path, header in read)
    ranked = sorted(series_sources(header for _, header in read if header is not None), key=_rank)
    if not ranked:
        if unreadable:
            raise CaseRejected(Reason.UNREADABLE, "the folder of this row holds no DICOM file that can be read")
        raise CaseRejected(Reason.MISSING_FILE, "the folder of this row holds no DICOM file")
    first = ranked[0][1]
    flags = [name for name, found in ((SEVERAL_SERIES, len(ranked) > 1), (UNREADABLE_FILES, unreadable)) if found]
    reserve = [source for _, source in ranked[1:] if source.fault is None]
    return replace(
        first,
        location=folder,
        candidates=tuple(files for source in (first, *reserve) for files in source.candidates),
        flags=(*first.flags, *flags),
    )


def _rank(found: tuple[Series, ScanSource]) -> tuple[bool, bool, int]:
    series, source = found
    return series[0].modality not in ("CT", ""), source.fault is not None, -len(series)


def _row_mask(path: Path) -> Path:
    if not _exists(path):
        raise CaseRejected(Reason.MISSING_FILE, "the lung mask of this row does not exist")
    return path


def _row_split(text: str) -> Split | None:
    wanted = text.casefold()
    if not wanted:
        return None
    for split in get_args(Split):
        if wanted == split:
            return split  # type: ignore[no-any-return]
    raise CaseRejected(Reason.BAD_SPLIT, "the split is neither train nor test")


def _exists(path: Path, *, folder: bool = False) -> bool:
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):  # too long, or with a NUL
        return False
