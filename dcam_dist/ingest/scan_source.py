"""One scan as the user's files describe it, made from a DICOM series or from an image file."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.content import content_digest
from dcam_dist.ingest.dicom import group_series
from dcam_dist.ingest.dicom_checks import find_faults
from dcam_dist.ingest.dicom_enhanced import frames_of
from dcam_dist.ingest.dicom_file import has_magic
from dcam_dist.ingest.dicom_headers import SliceHeader, claims_dicom
from dcam_dist.ingest.dicom_places import slice_normal
from dcam_dist.ingest.images import image_files
from dcam_dist.ingest.search import Search
from dcam_dist.types import UNASSIGNED, Split

Series = tuple[SliceHeader, ...]
Fault = tuple[Reason, str]

SERIES_INCOMPLETE = "series_incomplete"
"""Slices of another orientation or matrix lie outside the scan, under the same series."""


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
        acquisition: Study and frame of reference, equal for the reconstructions of one acquisition; empty where the
            header does not give both.
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
    acquisition: str = ""


def dicom_sources(files: Iterable[Path], search: Search) -> Iterator[ScanSource]:
    """Group DICOM files to series, one scan each (``series_sources``).

    Files that are DICOM by name but cannot be read, or cannot be opened, make one scan at fault a folder. Files that
    are no DICOM are passed over.
    """
    headers = search.headers(files)
    yield from (source for _, source in series_sources(header for _, header in headers if header is not None))
    yield from _unreadable_sources(path for path, header in headers if header is None and claims_dicom(path))


def series_sources(headers: Iterable[SliceHeader]) -> Iterator[tuple[Series, ScanSource]]:
    """The scans of all series.

    The largest group of a series stands for it; others (another orientation or matrix) are at fault. The largest is at
    fault too where another lies within it or is as large: then neither is the whole scan. Otherwise it is flagged.
    """
    for _, groups in groupby(group_series(headers), key=lambda series: series[0].series_uid):
        main, *strays = groups
        source, told = _series_source(main), [_stray_source(stray) for stray in strays]
        others = [s for s, of in zip(strays, told, strict=True) if of.fault and of.fault[0] is not Reason.LOCALIZER]
        if any(_divided(main, other) for other in others):
            what = "slices of another orientation or matrix lie among these, or are as many"
            source = replace(source, fault=(Reason.MIXED_SERIES, what), also=_others(main, Reason.MIXED_SERIES))
        elif others:
            source = replace(source, flags=(SERIES_INCOMPLETE,))
        yield from [(main, source), *zip(strays, told, strict=True)]


def closed_source(folder: Path) -> ScanSource:
    """A folder that cannot be listed: what lies in it must not vanish without a word."""
    return _folder_at_fault(folder, "a folder that cannot be read (permission?)")


def _series_source(series: Series) -> ScanSource:
    first = series[0]
    identity = f"series:{first.series_uid}"
    return ScanSource(
        given_id=None,
        identity=identity,
        patient=_patient(first, identity),
        location=first.path.parent,
        candidates=(tuple(header.path for header in series),),
        acquisition=f"{first.study_uid} {first.frame_of_reference}"
        * bool(first.study_uid and first.frame_of_reference),
    )


def _stray_source(series: Series) -> ScanSource:
    """A scout that is filed with its scan is that alone; other slices do not belong where they are."""
    first, source = series[0], _series_source(series)
    localizer = any("LOCALIZER" in slice_.image_type for slice_ in _slices(series))
    reason = Reason.LOCALIZER if localizer else Reason.MIXED_SERIES
    identity = f"{source.identity}|{first.orientation}|{first.rows}×{first.columns}"
    detail = f"{len(series)} slices of another orientation or matrix than the rest of their series"
    patient = identity if source.patient == source.identity else source.patient
    return replace(source, identity=identity, patient=patient, fault=(reason, detail), also=_others(series, reason))


def _others(series: Series, reason: Reason) -> tuple[Reason, ...]:
    found = {other for other, _ in find_faults(_slices(series), IngestConfig(), assume_hu=False)}
    return tuple(sorted(found - {reason}))


def _divided(main: Series, stray: Series) -> bool:
    """Whether two groups may be parts of one scan: as many slices, or both in one place along the normal."""
    slices, others = _slices(main), _slices(stray)
    places = [[one.position for one in group if one.position] for group in (slices, others)]
    if len(slices) == len(others) or slices[0].orientation is None or not all(places):
        return len(slices) == len(others)
    along, along_others = (np.asarray(group) @ slice_normal(slices[0]) for group in places)
    return bool(max(along.min(), along_others.min()) <= min(along.max(), along_others.max()))


def _slices(series: Series) -> Series:
    return tuple(frame for header in series for frame in frames_of(header))


def _unreadable_sources(paths: Iterable[Path]) -> Iterator[ScanSource]:
    """One scan at fault a folder: its identity stays while files come and go."""
    counts: dict[Path, Counter[str]] = {}
    for path in paths:
        what = "files that cannot be opened" if has_magic(path) is None else "files that are no readable DICOM"
        counts.setdefault(path.resolve().parent, Counter())[what] += 1
    for folder, found in counts.items():
        yield _folder_at_fault(folder, "; ".join(f"{what}: {count}" for what, count in sorted(found.items())))


def _folder_at_fault(folder: Path, detail: str) -> ScanSource:
    identity = f"unreadable:{folder.resolve()}"
    return ScanSource(None, identity, identity, folder, fault=(Reason.UNREADABLE, detail))


def image_source(path: Path, search: Search) -> ScanSource:
    """The scan of one image file; its identity is its content."""
    try:
        identity, fault = f"image:{content_digest(image_files(path)).hex()}", None
    except CaseRejected as rejected:
        identity, fault = f"path:{path.resolve()}", (rejected.reason, rejected.detail)
    search.was_read()
    return ScanSource(None, identity, identity, path, ((path,),), "image", fault=fault)


def walk_files(folder: Path, closed: list[Path] | None = None) -> Iterator[Path]:
    """Every file of a folder tree in a stable order; symbolic links are passed over.

    Args:
        folder: The tree.
        closed: Gets the folders that cannot be listed.
    """

    def note(error: OSError) -> None:
        if closed is not None:
            closed.append(Path(error.filename))

    for root, folders, names in os.walk(folder, onerror=note, followlinks=False):
        folders.sort()
        yield from (path for path in (Path(root, name) for name in sorted(names)) if _is_own_file(path))


def _is_own_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    except OSError:  # what cannot even be looked at is told as a file that cannot be opened
        return True


def _patient(header: SliceHeader, otherwise: str) -> str:
    """One patient's scans must share a split: by PatientID, else by the study, else each by itself."""
    if header.patient_id:
        return f"patient:{header.patient_id}"
    return f"study:{header.study_uid}" if header.study_uid else otherwise
