"""The classical lung mask: air inside the body, minus the airways, closed, and refined on the scan's own grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.lungs.airway import airway_mask
from dcam_dist.ingest.lungs.components import AIR_HU, body_and_air, close_each, midline, select_lungs
from dcam_dist.ingest.lungs.plausibility import judge
from dcam_dist.ingest.lungs.working import Mask, WorkingVolume, dilate, erode, to_working
from dcam_dist.types import Geometry

CLOSING_MM = 6.0
"""Radius: vessels and nodules up to twice as thick belong to the lung."""
AIRWAY_WALL_MM = 2.0
"""The airways are taken out with the blurred edge of their lumen."""
BAND_MM = 2.0
"""Within this distance of the working mask's surface the scan's own HU decide."""


@dataclass(frozen=True, eq=False)
class LungSegmentation:
    """A computed lung mask.

    Attributes:
        mask_DHW: Both lungs with their vessels, without trachea and main bronchi; the scan's grid.
        flags: Findings that do not exclude the case; see ``plausibility``.
        right_ml: Volume of the patient's right lung.
        left_ml: Volume of the left lung.
    """

    mask_DHW: Mask
    flags: tuple[str, ...]
    right_ml: float
    left_ml: float


def segment_lungs(hu_DHW: NDArray[np.int16], geometry: Geometry) -> LungSegmentation:
    """Segment the lungs of a chest CT.

    Args:
        hu_DHW: HU of a canonical volume: z inferior → superior, y anterior → posterior, x right → left.
        geometry: Its geometry.

    Returns:
        The mask and what is unusual about it.

    Raises:
        CaseRejected: ``no_lungs``, when no air inside the body can be a lung.
    """
    working = to_working(hu_DHW, geometry)
    found = _working_lungs(working.hu_DHW)
    mask = _refine(hu_DHW, working, found)
    if not mask.any():
        raise _no_lungs()
    # The right lung's columns: those whose working column lies before the plane.
    plane = int(np.searchsorted(working.nearest(2), found.plane))
    right_ml, left_ml = (float(np.count_nonzero(side)) * geometry.voxel_ml for side in np.split(mask, [plane], axis=2))
    mean_hu = float(hu_DHW[mask].mean(dtype=np.float64))
    trachea_found = bool(found.airways_DHW.any())
    flags = judge(mask, right_ml=right_ml, left_ml=left_ml, mean_hu=mean_hu, trachea_found=trachea_found)
    return LungSegmentation(mask, flags, right_ml, left_ml)


@dataclass(frozen=True, eq=False)
class _WorkingLungs:
    """Closed lungs, the airways to leave out, and the plane between right and left, on the working grid."""

    lungs_DHW: Mask
    airways_DHW: Mask
    plane: int


def _working_lungs(hu_DHW: NDArray[np.float32]) -> _WorkingLungs:
    body, air = body_and_air(hu_DHW)
    airways = airway_mask(hu_DHW, air, body)
    if airways.any():
        airways = dilate(airways, AIRWAY_WALL_MM)
    lungs = select_lungs(air & ~airways, hu_DHW)
    if not lungs.any():
        raise _no_lungs()
    plane = midline(lungs, body)
    return _WorkingLungs(close_each(lungs, plane, CLOSING_MM) & ~airways, airways, plane)


def _no_lungs() -> CaseRejected:
    detail = "no air inside the body has the size and density of a lung; check the scan, or give its lung mask"
    return CaseRejected(Reason.NO_LUNGS, detail)


def _refine(hu_DHW: NDArray[np.int16], working: WorkingVolume, found: _WorkingLungs) -> Mask:
    """Bring the working mask to the scan's grid; near its surface the scan's own voxels decide."""
    sure = erode(found.lungs_DHW, BAND_MM)
    possible = dilate(found.lungs_DHW, BAND_MM) & ~found.airways_DHW
    z_index, y_index, x_index = (working.nearest(axis) for axis in range(3))
    in_plane = np.ix_(y_index, x_index)
    mask = np.empty(hu_DHW.shape, np.bool_)
    for z, slice_HW in enumerate(hu_DHW):
        mask[z] = sure[z_index[z]][in_plane] | (possible[z_index[z]][in_plane] & (slice_HW < AIR_HU))
    return mask
