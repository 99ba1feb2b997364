"""Spaces of plain air within the body: bullae and pneumothoraces, or gas of the bowel that leaks into the lung's mask.

The diaphragm and the wall of the stomach together are a few millimetres thick, and one hole in them joins gas and lung.
What tells them apart is the surface that they share: that of a bulla is half or wholly lung, that of a leak a point.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dcam_dist.ingest.lungs.components import VOXEL_ML, box_of
from dcam_dist.ingest.lungs.morphology import dilate, dilate_cross, opened
from dcam_dist.ingest.lungs.working import WORKING_MM, Mask

POCKET_MM = 6.0
"""Plain air narrower than twice this is no pocket."""
POCKET_ML = 20.0
"""Smaller pockets are left as they are."""
BLUR_MM = 4.0
"""How far around a pocket its air is blurred with the wall."""
CONTACT_SHARE = 0.25
"""The least share of other air in the surface of an air space that belongs to the lung. Of bullae and of a pneumothorax
it is half and more; of gas below the diaphragm the leak and its own ragged edge make up to 0.15."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Pocket:
    """A space of plain air.

    Attributes:
        box: Where it lies on the working grid.
        blurred_DHW: The pocket with its blurred surface, within the box.
        volume_ml: Without the surface.
        contact: Share of its surface that is other air of the body.
    """

    box: Box
    blurred_DHW: Mask
    volume_ml: float
    contact: float


def find_pockets(air_DHW: Mask, hu_DHW: NDArray[np.float32], gas_hu: float) -> list[Pocket]:
    """Find the pockets in the air inside the body.

    Args:
        air_DHW: The air, without the airways, on the working grid.
        hu_DHW: HU on the same grid.
        gas_hu: Below this, air is plain gas.
    """
    plain = air_DHW & (hu_DHW < gas_hu)
    if np.count_nonzero(plain) * VOXEL_ML < POCKET_ML:
        return []
    box = box_of(plain, round(2 * BLUR_MM / WORKING_MM))
    labels, count = ndimage.label(opened(plain[box], POCKET_MM))
    volume_ml = np.bincount(labels.ravel(), minlength=count + 1) * VOXEL_ML
    offset = [part.start for part in box]
    pockets = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if volume_ml[number] >= POCKET_ML:
            margin = round(BLUR_MM / WORKING_MM) + 1
            near = _grown(place, margin, labels.shape)
            blurred = _with_blur(labels[near] == number, air_DHW[box][near])
            where = tuple(slice(part.start + o, part.stop + o) for part, o in zip(near, offset, strict=True))
            contact = _contact(blurred, air_DHW[box][near])
            pockets.append(Pocket((where[0], where[1], where[2]), blurred, float(volume_ml[number]), contact))
    return pockets


def without_bowel_gas(air_DHW: Mask, pockets: list[Pocket]) -> Mask:
    """The air without the pockets that share next to no surface with other air."""
    lungs = air_DHW.copy()
    for pocket in pockets:
        if pocket.contact < CONTACT_SHARE:
            lungs[pocket.box] &= ~pocket.blurred_DHW
    return lungs


def largest_in_lungs_ml(lungs_DHW: Mask, pockets: list[Pocket]) -> float:
    """Volume of the largest pocket that lies in the lungs."""
    inside = [pocket.volume_ml for pocket in pockets if (lungs_DHW[pocket.box] & pocket.blurred_DHW).any()]
    return max(inside, default=0.0)


def _with_blur(pocket_DHW: Mask, air_DHW: Mask) -> Mask:
    """A pocket with its blurred surface; step by step, so that a thin wall is not crossed."""
    for _ in range(round(BLUR_MM / WORKING_MM)):
        pocket_DHW = dilate(pocket_DHW, WORKING_MM) & air_DHW
    return pocket_DHW


def _contact(pocket_DHW: Mask, air_DHW: Mask) -> float:
    surface = dilate_cross(pocket_DHW) & ~pocket_DHW
    return float(np.count_nonzero(surface & air_DHW) / (np.count_nonzero(surface) + 1))


def _grown(box: tuple[slice, ...], margin: int, shape: tuple[int, ...]) -> Box:
    z, y, x = (
        slice(max(0, part.start - margin), min(size, part.stop + margin)) for part, size in zip(box, shape, strict=True)
    )
    return z, y, x
