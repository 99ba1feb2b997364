"""What can be wrong with a CT series, judged from its headers alone.

Every check looks for one thing and says it in one line. All of them run, so that a case set aside tells all that is
wrong with it and not only what was met first.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom_headers import SliceHeader

MIN_SLICES = 10
MIN_MATRIX = 16
GAP_TOLERANCE, GAP_TOLERANCE_MM = 0.1, 0.11
"""Single gaps may differ by this share of the slice distance, or so many millimetres (positions rounded to 0.1 mm)."""
DRIFT_TOLERANCE = 0.3
"""Share of the slice distance by which a slice may lie off the even grid."""
SAME_PLACE = 0.05
"""Slices closer than this share of the slice distance lie at one place."""

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

Headers = Sequence[SliceHeader]
Finding = tuple[Reason, str]


def check_series(headers: Headers, *, assume_hu: bool, max_voxels: int) -> None:
    """Judge a series of one matrix and orientation.

    Args:
        headers: Its files, at least one, in any order.
        assume_hu: Take stored values for HU where the rescale tags are missing.
        max_voxels: Largest volume to read.

    Raises:
        CaseRejected: With the first finding as the reason and the codes of all others beside it.
    """
    findings = list(_kind(headers))
    if Reason.ENHANCED_MULTIFRAME not in dict(findings):  # its slices lie in one file, placed by other fields
        findings += _pixels(headers, assume_hu=assume_hu, max_voxels=max_voxels)
        findings += _places(headers)
    if findings:
        reason, detail = findings[0]
        raise CaseRejected(reason, detail, tuple(sorted({other for other, _ in findings} - {reason})))


def sort_slices(headers: Headers) -> tuple[list[SliceHeader], NDArray[np.float64]]:
    """Slices in ascending order along their normal, and their positions along it in millimetres."""
    along = np.asarray([header.position for header in headers]) @ slice_normal(headers[0])
    order = np.argsort(along, kind="stable")
    return [headers[index] for index in order], along[order]


def slice_normal(header: SliceHeader) -> NDArray[np.float64]:
    """Unit normal of a slice: row direction × column direction."""
    orientation = np.asarray(header.orientation)
    return np.cross(orientation[:3], orientation[3:])


def _kind(headers: Headers) -> Iterator[Finding]:
    first = headers[0]
    if _any(headers, lambda h: h.modality != "CT" and (h.modality != "" or h.sop_class != CT_IMAGE)):
        yield Reason.WRONG_MODALITY, "not CT"
    if _any(headers, lambda h: h.sop_class == ENHANCED_CT or h.frames > 1):
        yield Reason.ENHANCED_MULTIFRAME, "several frames in one file; export the series as single-frame CT"
    if _any(headers, lambda h: h.sop_class.startswith(SECONDARY_CAPTURE) or h.burned_in.upper() not in ("", "NO")):
        yield Reason.SECONDARY_CAPTURE, "a screen capture, or annotation is burned into the pixels"
    if _any(headers, lambda h: h.samples > 1):
        yield Reason.COLOUR, "colour pixels"
    if _any(headers, lambda h: "LOCALIZER" in h.image_type):
        yield Reason.LOCALIZER, "a localizer (scout view)"
    common = (first.frame_of_reference, first.kernel, first.sop_class, first.modality, first.pixel_spacing)
    if _any(headers, lambda h: (h.frame_of_reference, h.kernel, h.sop_class, h.modality, h.pixel_spacing) != common):
        yield Reason.MIXED_SERIES, "slices of several reconstructions under one series"


def _pixels(headers: Headers, *, assume_hu: bool, max_voxels: int) -> Iterator[Finding]:
    rows, columns = headers[0].rows, headers[0].columns
    if not assume_hu and _any(headers, lambda h: h.rescale_slope is None or h.rescale_intercept is None):
        yield Reason.NO_RESCALE, "no rescale slope or intercept; if the stored values are HU, say --assume-hu"
    if len(headers) < MIN_SLICES:
        yield Reason.TOO_FEW_SLICES, f"slices: {len(headers)}, at least {MIN_SLICES} are needed"
    if rows < MIN_MATRIX or columns < MIN_MATRIX:
        yield Reason.TOO_SMALL, f"a matrix of {rows:.0f}×{columns:.0f}, at least {MIN_MATRIX}×{MIN_MATRIX} is needed"
    if rows * columns * len(headers) > max_voxels:
        yield Reason.TOO_LARGE, f"{rows * columns * len(headers):.3g} voxels, ingest.max_voxels is {max_voxels:.3g}"
    if _any(headers, lambda h: not h.compressed and h.pixel_bytes < h.expected_bytes):
        yield Reason.UNREADABLE, "a file is shorter than its header says (truncated?)"


def _places(headers: Headers) -> Iterator[Finding]:
    if not _has_geometry(headers):
        yield Reason.BAD_GEOMETRY, "position, orientation or pixel spacing is missing or impossible"
        return
    if len(headers) == 1:
        return
    ordered, along = sort_slices(headers)
    gaps = np.diff(along)
    apart = gaps[gaps > max(1e-3, SAME_PLACE * float(np.median(gaps)))]
    if len(apart) < len(gaps):
        yield (
            Reason.DUPLICATE_SLICES,
            f"slices at the place of another: {len(gaps) - len(apart)} (two copies of a series?)",
        )
    if len(apart):
        yield from _spacing(apart)
    drift_mm, angle = _tilt(ordered, along)
    if drift_mm > min(headers[0].pixel_spacing or (1.0,)):
        yield Reason.TILTED, f"the stack leans {angle:.1f}° against the slices (gantry tilt); resample it first"


def _spacing(gaps: NDArray[np.float64]) -> Iterator[Finding]:
    step = float(np.median(gaps))
    multiple = np.maximum(np.round(gaps / step), 1)
    whole = np.abs(gaps - multiple * step) <= max(GAP_TOLERANCE * step, GAP_TOLERANCE_MM)
    missing = int((multiple[whole] - 1).sum())
    if missing:
        yield Reason.MISSING_SLICES, f"slices missing: {missing}, at a slice distance of {step:.2f} mm"
    along = np.concatenate([[0.0], np.cumsum(np.where(whole, gaps / multiple, gaps))])
    drift = np.abs(along - np.linspace(0.0, along[-1], len(along))).max()
    if not whole.all() or drift > DRIFT_TOLERANCE * step:
        yield Reason.UNEVEN_SPACING, f"slice distances from {gaps.min():.2f} to {gaps.max():.2f} mm"


def _tilt(ordered: Headers, along: NDArray[np.float64]) -> tuple[float, float]:
    """Sideways drift of the slices from first to last, in millimetres and as an angle in degrees."""
    first, last = (np.asarray(ordered[index].position) for index in (0, -1))
    height = float(along[-1] - along[0])
    sideways = float(np.linalg.norm(last - first - height * slice_normal(ordered[0])))
    return (sideways, float(np.degrees(np.arctan2(sideways, height)))) if height > 0 else (0.0, 0.0)


def _has_geometry(headers: Headers) -> bool:
    if _any(headers, lambda h: h.position is None or h.orientation is None or h.pixel_spacing is None):
        return False
    axes = np.asarray(headers[0].orientation).reshape(2, 3)
    spacing = np.asarray([header.pixel_spacing for header in headers])
    return bool(np.allclose(axes @ axes.T, np.eye(2), atol=1e-3) and (spacing > 0.01).all() and (spacing < 100).all())


def _any(headers: Headers, test: Callable[[SliceHeader], bool]) -> bool:
    return any(test(header) for header in headers)
