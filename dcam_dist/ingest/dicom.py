"""DICOM: files into series, and a series into a scan."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom_checks import check_series, slice_normal, sort_slices
from dcam_dist.ingest.dicom_headers import SliceHeader, read_headers
from dcam_dist.ingest.scan import Scan, clean_hu, make_scan
from dcam_dist.types import Geometry

SAME_ORIENTATION = 1e-2
_VENDORS = ("siemens", "ge medical", "philips", "toshiba", "canon", "hitachi", "fujifilm", "neusoft", "united imaging")
_KERNEL = re.compile(r"[A-Z]{1,2}|[A-Z]{0,2}[a-z]{0,2}\d{1,3}[a-z]{0,2}")
_NAMED_KERNELS = {"BONE", "BONEPLUS", "BONE PLUS", "CHEST", "DETAIL", "EDGE", "LUNG", "SOFT", "STANDARD", "ULTRA"}


def group_series(headers: Iterable[SliceHeader]) -> list[tuple[SliceHeader, ...]]:
    """Group files by SeriesInstanceUID, orientation and matrix.

    Returns:
        The groups of each series together; series in the order of a hash of their UID, the largest group first.
    """
    by_uid: dict[str, list[list[SliceHeader]]] = {}
    for header in headers:
        groups = by_uid.setdefault(header.series_uid, [])
        home = next((group for group in groups if _alike(group[0], header)), None)
        if home is None:
            groups.append([header])
        else:
            home.append(header)
    ordered = sorted(by_uid, key=lambda uid: hashlib.sha256(uid.encode("utf-8", "replace")).digest())
    return [tuple(group) for uid in ordered for group in sorted(by_uid[uid], key=len, reverse=True)]


def read_series(candidates: Sequence[Sequence[Path]], *, assume_hu: bool, max_voxels: int) -> Scan:
    """Read the first valid series.

    Args:
        candidates: Files of one or more series, the preferred one first.
        assume_hu: Take stored values for HU where the rescale tags are missing.
        max_voxels: Largest volume to read.

    Raises:
        CaseRejected: When no candidate is a whole CT series; with what is wrong with the first.
    """
    first_fault: CaseRejected | None = None
    for files in candidates:
        try:
            return _read_one(files, assume_hu=assume_hu, max_voxels=max_voxels)
        except CaseRejected as fault:
            first_fault = first_fault or fault
    raise first_fault or CaseRejected(Reason.MISSING_FILE, "no DICOM files")


def header_covariates(header: SliceHeader) -> dict[str, str]:
    """The header fields that a cohort keeps; free text is reduced to known names, for it may hold anything."""
    found = {"contrast": "yes" if header.contrast_agent.upper() not in ("", "NONE", "NO") else "no"}
    if header.kernel:
        name = header.kernel.split("\\")[0]
        found["kernel"] = name if name.upper() in _NAMED_KERNELS or _KERNEL.fullmatch(name) else "other"
    if header.manufacturer:
        vendor = header.manufacturer.casefold()
        found["manufacturer"] = next((known for known in _VENDORS if known in vendor), "other")
    if header.thickness_mm > 0:
        found["slice_thickness_mm"] = f"{header.thickness_mm:g}"
    if header.kvp > 0:
        found["kvp"] = f"{header.kvp:g}"
    return found


def _alike(first: SliceHeader, second: SliceHeader) -> bool:
    if (first.rows, first.columns) != (second.rows, second.columns):
        return False
    if first.orientation is None or second.orientation is None:
        return first.orientation is second.orientation
    return bool(np.allclose(first.orientation, second.orientation, rtol=0.0, atol=SAME_ORIENTATION))


def _read_one(files: Sequence[Path], *, assume_hu: bool, max_voxels: int) -> Scan:
    headers = [header for _, header in read_headers(files) if header is not None]
    if len(headers) < len(files):
        raise CaseRejected(Reason.UNREADABLE, f"{len(files) - len(headers)} of {len(files)} files cannot be read")
    check_series(headers, assume_hu=assume_hu, max_voxels=max_voxels)
    ordered, along_mm = sort_slices(headers)
    geometry = _geometry(ordered, along_mm)
    return make_scan(_read_pixels(ordered), geometry, format="dicom", covariates=header_covariates(ordered[0]))


def _geometry(ordered: Sequence[SliceHeader], along_mm: NDArray[np.float64]) -> Geometry:
    first = ordered[0]
    orientation = np.asarray(first.orientation)
    between_rows, between_columns = first.pixel_spacing or (1.0, 1.0)
    step = (along_mm[-1] - along_mm[0]) / (len(ordered) - 1)
    matrix = np.eye(4)
    matrix[:3, 0] = orientation[:3] * between_columns
    matrix[:3, 1] = orientation[3:] * between_rows
    matrix[:3, 2] = slice_normal(first) * step
    matrix[:3, 3] = first.position or (0.0, 0.0, 0.0)
    return Geometry.from_matrix((len(ordered), int(first.rows), int(first.columns)), matrix)


def _read_pixels(ordered: Sequence[SliceHeader]) -> NDArray[np.int16]:
    """Slice by slice: one volume in memory, and each slice's own rescale values."""
    shape = (int(ordered[0].rows), int(ordered[0].columns))
    hu_DHW = np.empty((len(ordered), *shape), np.int16)
    for z, header in enumerate(ordered):
        try:
            values = sitk.GetArrayFromImage(sitk.ReadImage(str(header.path), imageIO="GDCMImageIO")).squeeze()
        except RuntimeError:  # its message holds the path
            raise CaseRejected(Reason.UNREADABLE, f"the pixels of slice {z} cannot be decoded") from None
        if values.shape != shape:
            raise CaseRejected(Reason.UNREADABLE, f"slice {z} decodes to the shape {values.shape}, not {shape}")
        hu_DHW[z] = clean_hu(values)
    return hu_DHW
