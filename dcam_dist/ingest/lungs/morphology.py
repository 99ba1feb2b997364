"""Dilation, erosion, opening and closing of working masks, by shifting.

A ball is grown step by step, one voxel of the working grid each, in turns over the 18 and over the 6 nearest
neighbours. The result is within half a voxel of a ball and costs a fraction of a structuring element of that size.
"""

import numpy as np

from dcam_dist.ingest.lungs.working import WORKING_MM, Mask


def dilate(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Dilation of a working mask with a ball."""
    grown = mask_DHW
    for step in range(_steps(radius_mm)):
        grown = dilate_cross(grown) if step % 2 else _dilate_edges(grown)
    return grown


def erode(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Erosion of a working mask with a ball; the outside of the array does not erode."""
    return ~dilate(~mask_DHW, radius_mm)


def opened(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Opening of a working mask with a ball."""
    return dilate(erode(mask_DHW, radius_mm), radius_mm)


def closed(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Closing of a working mask with a ball; the outside of the array counts as background."""
    steps = _steps(radius_mm)
    result = erode(dilate(np.pad(mask_DHW, steps), radius_mm), radius_mm)
    return result[steps:-steps, steps:-steps, steps:-steps]


def dilate_cross(mask_DHW: Mask) -> Mask:
    """Dilation by the six nearest neighbours."""
    grown = mask_DHW.copy()
    for axis in range(3):
        _spread(mask_DHW, grown, axis)
    return grown


def _dilate_edges(mask_DHW: Mask) -> Mask:
    """Dilation by the 18 nearest neighbours: a square of three in each of the three planes."""
    along_x, along_y = mask_DHW.copy(), mask_DHW.copy()
    _spread(mask_DHW, along_x, 2)
    _spread(mask_DHW, along_y, 1)
    grown = along_x | along_y
    _spread(along_x, grown, 1)
    _spread(along_x, grown, 0)
    _spread(along_y, grown, 0)
    return grown


def _spread(source_DHW: Mask, target_DHW: Mask, axis: int) -> None:
    """Add to a mask what lies one voxel further along an axis, to both sides."""
    source, target = np.moveaxis(source_DHW, axis, 0), np.moveaxis(target_DHW, axis, 0)
    target[1:] |= source[:-1]
    target[:-1] |= source[1:]


def _steps(radius_mm: float) -> int:
    return max(1, round(radius_mm / WORKING_MM))
