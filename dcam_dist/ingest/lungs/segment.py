"""The classical lung mask: air inside the body, minus the airways, closed, and refined on the scan's own grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.ingest.lungs.airway import airway_mask
from dcam_dist.ingest.lungs.candidates import select_lungs
from dcam_dist.ingest.lungs.components import AIR_HU, box_of, fill_holes, find_chest
from dcam_dist.ingest.lungs.morphology import closed, dilate, erode
from dcam_dist.ingest.lungs.pockets import find_pockets, largest_in_lungs_ml, without_bowel_gas
from dcam_dist.ingest.lungs.segmentation import LungSegmentation, assess, no_lungs
from dcam_dist.ingest.lungs.sides import LEFT, RIGHT, Sides, side_field, split_sides
from dcam_dist.ingest.lungs.working import Mask, WorkingVolume, to_working
from dcam_dist.types import Geometry

CLOSING_MM = 6.0
"""Radius: vessels and nodules up to twice as thick belong to the lung."""
AIRWAY_WALL_MM = 2.0
"""The airways are taken out with the blurred edge of their lumen."""
BAND_MM = 2.0
"""Within this distance of the working mask's surface the scan's own HU decide."""
SURE = 4
"""Added to a side's number where the working mask alone decides."""


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
    found = _working_lungs(working)
    mask = _refine(hu_DHW, working, found)
    trachea_found = bool(found.airways_DHW.any())
    return assess(mask, hu_DHW, geometry, trachea_found=trachea_found, air_pocket_ml=found.air_pocket_ml)


@dataclass(frozen=True, eq=False)
class _WorkingLungs:
    """Closed lungs by side, the airways to leave out, and what was seen on the way; on the working grid."""

    sides_DHW: Sides
    airways_DHW: Mask
    middle: float
    air_pocket_ml: float


def _working_lungs(working: WorkingVolume) -> _WorkingLungs:
    hu_DHW = working.hu_DHW
    chest = find_chest(hu_DHW, working.seen_HW)
    airways = airway_mask(hu_DHW, chest.air_DHW, chest.body_DHW)
    if airways.any():
        airways = dilate(airways, AIRWAY_WALL_MM)
    air = chest.air_DHW & ~airways
    pockets = find_pockets(air, hu_DHW, chest.gas_hu)
    lungs = select_lungs(without_bowel_gas(air, pockets), hu_DHW, chest)
    if not lungs.any():
        raise no_lungs()
    sides = close_each(split_sides(lungs, hu_DHW, chest.middle))
    sides[airways | ~working.seen_HW] = 0
    return _WorkingLungs(sides, airways, chest.middle, largest_in_lungs_ml(lungs, pockets))


def close_each(sides_DHW: Sides) -> Sides:
    """Close each lung apart, so that the thin tissue between them stays out, and fill its holes."""
    result = sides_DHW.copy()
    for side in (RIGHT, LEFT):
        lung = sides_DHW == side
        if lung.any():
            box = box_of(lung, round(CLOSING_MM))
            inside = result[box]
            inside[fill_holes(closed(lung[box], CLOSING_MM)) & (inside == 0)] = side
    return result


def _refine(hu_DHW: NDArray[np.int16], working: WorkingVolume, found: _WorkingLungs) -> Sides:
    """Bring the working mask to the scan's grid; near its surface the scan's own voxels decide."""
    lungs = found.sides_DHW > 0
    code = side_field(found.sides_DHW, found.middle)
    code[~dilate(lungs, BAND_MM) | found.airways_DHW] = 0
    code[erode(lungs, BAND_MM)] |= SURE
    result = np.zeros(hu_DHW.shape, np.uint8)
    z_index, y_index, x_index = (working.grid.nearest(axis) for axis in range(3))
    occupied = box_of(code > 0, 0)
    rows, columns = (
        slice(*np.searchsorted(index, (part.start, part.stop)))
        for index, part in zip((y_index, x_index), occupied[1:], strict=True)
    )
    y_index, x_index, seen = y_index[rows], x_index[columns], working.native_seen_HW[rows, columns]
    for z in np.flatnonzero((z_index >= occupied[0].start) & (z_index < occupied[0].stop)):
        code_HW = code[z_index[z]][y_index][:, x_index]
        lung = (hu_DHW[z, rows, columns] < AIR_HU) | (code_HW >= SURE)
        np.multiply(code_HW & (RIGHT | LEFT), lung & seen, out=result[z, rows, columns])
    return result
