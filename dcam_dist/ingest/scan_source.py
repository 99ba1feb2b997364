"""One scan as the user's files describe it, made from a DICOM series or from an image file."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.content import content_digest
from dcam_dist.ingest.dicom import group_series
from dcam_dist.ingest.dicom_checks import find_faults
from dcam_dist.ingest.dicom_enhanced import frames_of
from dcam_dist.ingest.dicom_headers import SliceHeader, claims_dicom
from dcam_dist.ingest.images import image_files
from dcam_dist.ingest.search import Search
from dcam_dist.types import UNASSIGNED, Split

Series = tuple[SliceHeader, ...]
Fault = tuple[Reason, str]


@dataclass(frozen=True)
class ScanSource:
    """One scan as the user's files describe it. Holds real identities: it stays in the main process.

    Attributes:
        given_id: The table's ``case_id``.
        given_at: Table and line that gave it.
        identity: What the scan is by its own account: its series, or the content of its file.
        patient: Whose it is, by the table, else the DICOM header, else the scan itself.
        location: File or folder, for the private mapping.
        candidates: Files of the series to choose from, the preferred one first; one image file for an image.
        kind: Whether the candidates are DICOM series or an image file.
        fault: Why it cannot be used, where that is known already.
        also: The codes of everything else that is wrong with it then.
    """

    given_id: str | None
    identity: str
    patient: str
    location: Path
    candidates: tuple[tuple[Path, ...], ...] = ()
    kind: Literal["dicom", "image"] = "dicom"
    lung_mask: Path | None = None
    split: Split | None = None
    label: int = UNASSIGNED
    covariates: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()
    fault: Fault | None = None
    also: tuple[Reason, ...] = ()
    given_at: str = ""


def dicom_sources(files: Iterable[Path], search: Search) -> Iterator[ScanSource]:
    """Group DICOM files to series, one scan each.

    The largest group of a series stands for it; others (another orientation or matrix) are at fault, and so is a file
    that is DICOM by name but cannot be read. Files that are no DICOM are passed over.
    """
    headers = search.headers(files)
    readable = [header for _, header in headers if header is not None]
    earlier: str | None = None
    for series in group_series(readable):
        stray = earlier == series[0].series_uid
        earlier = series[0].series_uid
        yield series_source(series, stray=stray)
    for path, header in headers:
        if header is None and claims_dicom(path):
            identity = f"path:{path.resolve()}"
            yield ScanSource(None, identity, identity, path, fault=(Reason.UNREADABLE, "a file is no readable DICOM"))


def series_source(series: Series, *, stray: bool = False) -> ScanSource:
    """The scan of one group of slices; a stray group is at fault, and has an identity of its own."""
    first = series[0]
    identity = f"series:{first.series_uid}"
    fault: Fault | None = None
    also: tuple[Reason, ...] = ()
    if stray:
        identity += f"|{first.orientation}|{first.rows}×{first.columns}"
        fault, also = _stray_fault(series)
    return ScanSource(
        given_id=None,
        identity=identity,
        patient=_patient(first, identity),
        location=first.path.parent,
        candidates=(tuple(header.path for header in series),),
        fault=fault,
        also=also,
    )


def _stray_fault(series: Series) -> tuple[Fault, tuple[Reason, ...]]:
    """A scout that is filed with its scan is that alone; other slices do not belong where they are."""
    slices = [frame for header in series for frame in frames_of(header)]
    found = {reason for reason, _ in find_faults(slices, IngestConfig(), assume_hu=False)}
    reason = Reason.LOCALIZER if Reason.LOCALIZER in found else Reason.MIXED_SERIES
    detail = f"{len(series)} slices of another orientation or matrix than the rest of their series"
    return (reason, detail), tuple(sorted(found - {reason}))


def image_source(path: Path, search: Search) -> ScanSource:
    """The scan of one image file; its identity is its content."""
    try:
        identity, fault = f"image:{content_digest(image_files(path)).hex()}", None
    except CaseRejected as rejected:
        identity, fault = f"path:{path.resolve()}", (rejected.reason, rejected.detail)
    search.was_read()
    return ScanSource(None, identity, identity, path, ((path,),), "image", fault=fault)


def walk_files(folder: Path) -> Iterator[Path]:
    """Every file of a folder tree in a stable order; symbolic links are passed over."""
    for root, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if not path.is_symlink() and path.is_file():
                yield path


def _patient(header: SliceHeader, otherwise: str) -> str:
    """One patient's scans must share a split: by PatientID, else by the study, else each by itself."""
    if header.patient_id:
        return f"patient:{header.patient_id}"
    return f"study:{header.study_uid}" if header.study_uid else otherwise
