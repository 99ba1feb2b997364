"""DICOM: files into series, and a series into a scan."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom_checks import alike, find_faults, rejection
from dcam_dist.ingest.dicom_enhanced import frames_of
from dcam_dist.ingest.dicom_headers import SliceHeader, read_headers
from dcam_dist.ingest.dicom_pixels import read_slices
from dcam_dist.ingest.dicom_places import Finding, lean_of, slice_normal, sort_slices
from dcam_dist.ingest.dicom_tilt import TILT_RESAMPLED, place_slices, upright_geometry
from dcam_dist.ingest.scan import Scan, make_scan
from dcam_dist.types import Geometry

_VENDORS = ("siemens", "ge medical", "philips", "toshiba", "canon", "hitachi", "fujifilm", "neusoft", "united imaging")
_KERNEL = re.compile(
    r"(?:[BDHIJQTU]|B[flrv]|H[cfnrv]|Qr|Tr|Ur)\d\d[dfhimqsu]?"  # Siemens
    r"|[A-FL]|[CEUXY][A-E]"  # Philips
    r"|FC\d\d"  # Toshiba, Canon
)
_NAMED_KERNELS = {"BONE", "BONEPLUS", "BONE PLUS", "CHEST", "DETAIL", "EDGE", "LUNG", "SOFT", "STANDARD", "ULTRA"}
"""GE."""
_NO_CONTRAST = {"NO", "NONE"}
_KVP, _THICKNESS_MM = (40.0, 200.0), (0.05, 30.0)
"""What a CT can have; anything else is a mistake or another number, a birth date maybe."""


def group_series(headers: Iterable[SliceHeader]) -> list[tuple[SliceHeader, ...]]:
    """Group files by SeriesInstanceUID, orientation and matrix.

    Returns:
        The groups of each series together; series in the order of a hash of their UID, the largest group first.
    """
    by_uid: dict[str, list[list[SliceHeader]]] = {}
    for header in headers:
        groups = by_uid.setdefault(header.series_uid, [])
        home = next((group for group in groups if alike(group[0], header)), None)
        if home is None:
            groups.append([header])
        else:
            home.append(header)
    ordered = sorted(by_uid, key=lambda uid: hashlib.sha256(uid.encode("utf-8", "replace")).digest())
    return [tuple(group) for uid in ordered for group in sorted(by_uid[uid], key=len, reverse=True)]


def read_series(candidates: Sequence[Sequence[Path]], config: IngestConfig, *, assume_hu: bool) -> Scan:
    """Read the first valid series.

    Args:
        candidates: Files of one or more series, the preferred one first.
        config: Largest volume, what to do about a tilted gantry, limits of decoding.
        assume_hu: Take stored values for HU where the rescale tags are missing.

    Raises:
        CaseRejected: When no candidate is a whole CT series; with what is wrong with the first.
    """
    first_fault: CaseRejected | None = None
    for files in candidates:
        try:
            return _read_one(files, config, assume_hu=assume_hu)
        except CaseRejected as fault:
            first_fault = first_fault or fault
    raise first_fault or CaseRejected(Reason.MISSING_FILE, "no DICOM files")


def header_covariates(header: SliceHeader) -> dict[str, str]:
    """The header fields that a cohort keeps; free text is reduced to known names, for it may hold anything."""
    found: dict[str, str] = {}
    if header.contrast_agent:  # absent or empty says nothing
        found["contrast"] = "no" if header.contrast_agent.upper() in _NO_CONTRAST else "yes"
    known = {
        "kernel": known_kernel(header.kernel),
        "manufacturer": known_manufacturer(header.manufacturer),
        "slice_thickness_mm": known_thickness_mm(header.thickness_mm),
    }
    found |= {name: value for name, value in known.items() if value}
    if _KVP[0] <= header.kvp <= _KVP[1]:
        found["kvp"] = f"{header.kvp:g}"
    return found


def known_kernel(text: str) -> str:
    """The name of a reconstruction kernel, ``other`` for any text that is none, empty where nothing is said."""
    name = text.split("\\", maxsplit=1)[0]
    known = name.upper() in _NAMED_KERNELS or _KERNEL.fullmatch(name) or not text
    return name if known else "other"


def known_manufacturer(text: str) -> str:
    """The maker of the scanner, ``other`` for any text that names none, empty where nothing is said."""
    vendor = text.casefold()
    return next((known for known in _VENDORS if known in vendor), "other") if vendor else ""


def known_thickness_mm(value: str | float) -> str:
    """A slice thickness in millimetres, empty for what a CT cannot have."""
    try:
        thickness_mm = float(value)
    except ValueError:
        return ""
    return f"{thickness_mm:g}" if _THICKNESS_MM[0] <= thickness_mm <= _THICKNESS_MM[1] else ""


def _read_one(files: Sequence[Path], config: IngestConfig, *, assume_hu: bool) -> Scan:
    headers = [header for _, header in read_headers(files) if header is not None]
    findings: list[Finding] = []
    if len(headers) < len(files):
        findings.append((Reason.UNREADABLE, f"{len(files) - len(headers)} of {len(files)} files cannot be read"))
    slices = [frame for header in headers for frame in frames_of(header)]
    if slices:
        findings += find_faults(slices, config, assume_hu=assume_hu)
    if findings:
        raise rejection(findings)
    return _read_whole(slices, config)


def _read_whole(slices: Sequence[SliceHeader], config: IngestConfig) -> Scan:
    """Read slices in which no fault was found."""
    ordered, along_mm = sort_slices(slices)
    lean = lean_of(ordered, along_mm)
    geometry, covariates = _geometry(ordered, along_mm), header_covariates(ordered[0])
    if not lean.tilted:
        return make_scan(_stack(ordered, geometry, config), geometry, format="dicom", covariates=covariates)
    upright, shift_N2 = upright_geometry(geometry, lean.offset_mm_N2, config.max_voxels)
    hu_DHW = place_slices(read_slices(ordered, config), shift_N2, upright)
    covariates["gantry_tilt_deg"] = f"{lean.degrees:.1f}"
    return make_scan(hu_DHW, upright, format="dicom", covariates=covariates, flags=(TILT_RESAMPLED,))


def _stack(ordered: Sequence[SliceHeader], geometry: Geometry, config: IngestConfig) -> NDArray[np.int16]:
    hu_DHW = np.empty(geometry.shape, np.int16)
    for z, hu_HW in enumerate(read_slices(ordered, config)):
        hu_DHW[z] = hu_HW
    return hu_DHW


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
