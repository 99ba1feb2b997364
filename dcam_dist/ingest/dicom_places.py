"""Where the slices of a series lie: their order, their distances, and how the stack leans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import Reason
from dcam_dist.ingest.dicom_headers import SliceHeader

GAP_TOLERANCE, GAP_TOLERANCE_MM = 0.1, 0.11
"""Single gaps may differ by this share of the slice distance, or so many millimetres (positions rounded to 0.1 mm)."""
DRIFT_TOLERANCE = 0.3
"""Share of the slice distance by which a slice may lie off the even grid."""
SAME_PLACE = 0.05
"""Slices closer than this share of the slice distance lie at one place."""
STEEPEST_TILT = 35.0
"""Degrees; gantries tilt by 30 at most, and what leans more is no tilted gantry."""

Headers = Sequence[SliceHeader]
Finding = tuple[Reason, str]


@dataclass(frozen=True, eq=False)
class Lean:
    """How a stack of slices leans.

    Attributes:
        offset_mm_N2: Each slice's offset from the first one within the plane: along a row, then down a column.
        degrees: Angle between the stack and the slices' normal, from the first slice to the last.
        tilted: The last slice lies off by more than a pixel.
        straight: No slice lies off the straight line by more than a pixel.
    """

    offset_mm_N2: NDArray[np.float64]
    degrees: float
    tilted: bool
    straight: bool


def has_geometry(headers: Headers) -> bool:
    """Whether every slice has a position, right-angled unit axes and a possible pixel spacing."""
    if any(h.position is None or h.orientation is None or h.pixel_spacing is None for h in headers):
        return False
    axes = np.asarray([header.orientation for header in headers]).reshape(-1, 2, 3)
    spacing = np.asarray([header.pixel_spacing for header in headers])
    right_angled = np.allclose(axes @ axes.transpose(0, 2, 1), np.eye(2), atol=1e-3)
    return bool(right_angled and (spacing > 0.01).all() and (spacing < 100).all())


def slice_normal(header: SliceHeader) -> NDArray[np.float64]:
    """Unit normal of a slice: row direction × column direction."""
    orientation = np.asarray(header.orientation)
    return np.cross(orientation[:3], orientation[3:])


def sort_slices(headers: Headers) -> tuple[list[SliceHeader], NDArray[np.float64]]:
    """Slices in ascending order along their normal, and their positions along it in millimetres."""
    along = np.asarray([header.position for header in headers]) @ slice_normal(headers[0])
    order = np.argsort(along, kind="stable")
    return [headers[index] for index in order], along[order]


def lean_of(ordered: Headers, along_mm: NDArray[np.float64]) -> Lean:
    """How far slices lie sideways of each other.

    Args:
        ordered: The slices, sorted.
        along_mm: Their positions along the normal.
    """
    axes = np.asarray(ordered[0].orientation).reshape(2, 3)
    position = np.asarray([header.position for header in ordered])
    offset_mm_N2 = (position - position[0]) @ axes.T
    height = float(along_mm[-1] - along_mm[0])
    if height <= 0:
        return Lean(offset_mm_N2, 0.0, tilted=False, straight=True)
    on_line = np.outer((along_mm - along_mm[0]) / height, offset_mm_N2[-1])
    off_line = float(np.linalg.norm(offset_mm_N2 - on_line, axis=1).max())
    sideways = float(np.linalg.norm(offset_mm_N2[-1]))
    pixel = min(ordered[0].pixel_spacing or (1.0,))
    return Lean(offset_mm_N2, float(np.degrees(np.arctan2(sideways, height))), sideways > pixel, off_line <= pixel)


def place_faults(headers: Headers, *, allow_tilt: bool) -> Iterator[Finding]:
    """What is wrong with the places of slices that all have a geometry.

    Args:
        headers: The slices in any order.
        allow_tilt: A tilted gantry is no fault, for the slices will be resampled.
    """
    if len({(header.sop_uid, header.frame) for header in headers if header.sop_uid}) < sum(
        bool(header.sop_uid) for header in headers
    ):
        yield Reason.DUPLICATE_SLICES, "one slice twice, by its instance UID (two copies of a series?)"
    if len(headers) == 1:
        return
    ordered, along = sort_slices(headers)
    gaps = np.diff(along)
    apart = gaps[gaps > max(1e-3, SAME_PLACE * float(np.median(gaps)))]
    if len(apart) < len(gaps):
        found = len(gaps) - len(apart)
        yield Reason.DUPLICATE_SLICES, f"slices at the place of another: {found} (two copies of a series?)"
    if len(apart):
        yield from _spacing(apart)
    lean = lean_of(ordered, along)
    if not lean.straight:
        yield Reason.BAD_GEOMETRY, "slices are shifted sideways against each other"
    elif lean.tilted and not (allow_tilt and lean.degrees <= STEEPEST_TILT):
        what = f"the stack leans {lean.degrees:.1f}° against the slices (gantry tilt)"
        yield Reason.TILTED, f"{what}; ingest.resample_tilt=true resamples up to {STEEPEST_TILT:g}°"


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
