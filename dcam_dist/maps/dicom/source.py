"""The series of slices that a case was made from, found again in a folder, and verified by place and voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dcam_dist.cohort.spatial import corners_mm
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, DataError, Reason, UsageError
from dcam_dist.ingest.dicom import group_series, read_series
from dcam_dist.ingest.dicom_enhanced import frames_of
from dcam_dist.ingest.dicom_headers import SliceHeader, looks_like_dicom, quiet, read_headers
from dcam_dist.ingest.dicom_places import has_geometry, sort_slices
from dcam_dist.ingest.dicom_tilt import TILT_RESAMPLED
from dcam_dist.ingest.scan import hu_digest
from dcam_dist.ingest.scan_source import walk_files
from dcam_dist.types import CaseRecord, Geometry

SAME_PLACE_MM = 0.1
"""Formats round positions; other scans of a patient lie farther off, or have other voxels."""
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
"""What every image must have, if only empty (type 2); removing names often removes the fields too."""
_SEXES = ("M", "F", "O")


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """The slices of a case. Holds a patient's real identity.

    Attributes:
        datasets: Headers without pixels: one a slice in the order of ``geometry``, or the one enhanced object.
        geometry: (slice, row, column), slices ascending along their normal.
        slice_of_frame_N: The slice that each frame of ``datasets``, in their order, is.
    """

    datasets: tuple[Dataset, ...]
    geometry: Geometry
    slice_of_frame_N: NDArray[np.int64]

    @property
    def series_uid(self) -> str:
        """Its SeriesInstanceUID."""
        return str(self.datasets[0].SeriesInstanceUID)


def find_series(folder: Path, record: CaseRecord) -> SourceSeries:
    """Find the series that a case was made from.

    The slices must lie where the case's scan lay and, where the record knows the digest of its voxels, hold the same.
    No error names the folder, which may be named for the patient.

    Args:
        folder: Searched with all its folders; links are passed over.
        record: The case, whether it was ingested from these files or from another format of the same scan.

    Raises:
        UsageError: When there is no such folder.
        DataError: When none or several of its series fit, or the slices cannot be referred to.
    """
    if TILT_RESAMPLED in record.flags:
        raise DataError(
            f"case {record.case_id} was resampled from a tilted gantry at ingest, so there are no slices that its maps "
            "fit on; use the NIfTI files"
        )
    if not folder.is_dir():
        raise UsageError("--source-dicom: no such folder; give the folder of the scan's DICOM slices")
    files = [path for path in walk_files(folder) if looks_like_dicom(path)]
    groups = group_series(header for _, header in read_headers(files) if header is not None)
    found, refused = [], []
    for group in groups:
        try:
            if (series := _if_it_is(group, record)) is not None:
                found.append(series)
        except CaseRejected as fault:
            refused.append(f"; one of the right size is unusable ({fault})")
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} series fit" if found else f"none of its {len(groups)} series is the scan"
    raise DataError(
        f"--source-dicom: {what} of case {record.case_id}{''.join(refused[:1])}; "
        "give the folder of the very slices that it was made from"
    )


def _if_it_is(group: Sequence[SliceHeader], record: CaseRecord) -> SourceSeries | None:
    slices = [frame for header in group for frame in frames_of(header)]
    shape = (len(slices), int(slices[0].rows), int(slices[0].columns))
    if sorted(shape) != sorted(record.scan.shape) or not has_geometry(slices):
        return None
    scan = read_series(
        [[header.path for header in group]], IngestConfig(max_voxels=int(np.prod(shape))), assume_hu=True
    )
    known = record.provenance.get("hu_sha256")
    if not _one_place(scan.scan_geometry, record.scan) or (known and hu_digest(scan.hu_DHW) != known):
        return None
    return _with_headers(slices, scan.scan_geometry)


def _one_place(first: Geometry, second: Geometry) -> bool:
    """Whether two volumes of as many voxels fill one box; their axes may be swapped and turned."""
    corners, others = corners_mm(first).T, corners_mm(second).T
    between = np.linalg.norm(corners[:, None] - others[None], axis=-1)
    return bool((between.min(axis=0) <= SAME_PLACE_MM).all() and (between.min(axis=1) <= SAME_PLACE_MM).all())


def _with_headers(slices: Sequence[SliceHeader], geometry: Geometry) -> SourceSeries:
    files = tuple(dict.fromkeys(one.path for one in slices))
    if any(one.frame is not None for one in slices) and len(files) > 1:
        raise CaseRejected(Reason.ENHANCED_MULTIFRAME, "frames spread over several files cannot be referred to")
    ordered, _ = sort_slices(slices)
    place = {(one.path, one.frame): z for z, one in enumerate(ordered)}
    if len(files) == len(slices) > 1:
        slices = ordered
        files = tuple(one.path for one in ordered)
    with quiet():
        datasets = tuple(_header(path) for path in files)
    return SourceSeries(datasets, geometry, np.array([place[one.path, one.frame] for one in slices], dtype=np.int64))


def _header(path: Path) -> Dataset:
    dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    dataset.pop("ReferencedStudySequence", None)  # may be left out, and tools that remove names leave half of it
    if dataset.PatientSex not in _SEXES:  # another letter or word, which objects made today must not hand on
        dataset.PatientSex = None
    return dataset
