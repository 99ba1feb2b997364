"""Connected components of working masks: the body, and the air inside it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dcam_dist.ingest.lungs.field_of_view import Plane, open_edges
from dcam_dist.ingest.lungs.morphology import erode, opened
from dcam_dist.ingest.lungs.working import WORKING_MM, Mask

AIR_HU = -400.0
"""Between soft tissue (0 HU) and lung (about −850 HU)."""
SHEET_MM = 4.0
"""Sheets thinner than twice this (the shell of a table, blankets, tubes) are not thick tissue."""
FREE_AIR_HU = (-1000.0, -975.0)
"""Free air without noise, and the most that noise makes of it."""
GAS_ABOVE_FREE_AIR_HU = 15.0
VOXEL_ML = WORKING_MM**3 / 1000.0

Labels = NDArray[np.signedinteger[Any]]

IN_PLANE = np.zeros((3, 3, 3), np.bool_)
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True, eq=False)
class Chest:
    """The patient on the working grid.

    Attributes:
        body_DHW: Thick tissue, without sheets and without the air in it; all False where there is no body.
        air_DHW: The air that the body encloses.
        free_air_hu: Median of the free air around the body. Noise that is clipped at −1024 HU raises it above −1000.
    """

    body_DHW: Mask
    air_DHW: Mask
    free_air_hu: float

    @property
    def gas_hu(self) -> float:
        """Below this, air in the body is plain gas."""
        return self.free_air_hu + GAS_ABOVE_FREE_AIR_HU

    @property
    def middle(self) -> float:
        """The column ``x`` of the body's centre of mass."""
        return float(np.average(np.arange(self.body_DHW.shape[2]), weights=self.body_DHW.sum(axis=(0, 1))))


def find_chest(hu_DHW: NDArray[np.float32], seen_HW: Plane) -> Chest:
    """Find the patient's thick tissue, and the air that the patient encloses.

    Air is enclosed slice by slice, since in three dimensions the airways open to the outside, and cut lungs at the
    first or last slice. All tissue that hangs together with the body encloses it, so that a thin chest wall holds; the
    hollow of a table that touches the back is told by having no body behind it.

    Args:
        hu_DHW: HU on the working grid.
        seen_HW: The field of view on that grid.
    """
    tissue = hu_DHW > AIR_HU
    body = largest(opened(tissue, SHEET_MM))
    if not body.any():
        return Chest(body, body, FREE_AIR_HU[0])
    pieces, _ = ndimage.label(tissue)
    attached = np.equal(pieces, np.bincount(pieces[body]).argmax())
    labels, count = ndimage.label(~attached & seen_HW, structure=IN_PLANE)
    reached = np.zeros(count + 1, np.bool_)
    for border in (labels[open_edges(attached, seen_HW)], labels[:, 0], labels[:, -1]):
        reached[border.ravel()] = True
    reached[0] = False
    outside: Mask = reached[labels]
    air = _mostly_within((labels > 0) & ~outside & ~tissue, _before_and_behind(body))
    return Chest(body, air, _free_air_hu(hu_DHW, outside & ~tissue))


def _free_air_hu(hu_DHW: NDArray[np.float32], air_DHW: Mask) -> float:
    """Median of the air that does not border on anything else."""
    coarse = np.s_[::2, ::2, ::2]
    values = hu_DHW[coarse][erode(air_DHW[coarse], WORKING_MM)]
    return float(np.clip(np.median(values), *FREE_AIR_HU)) if values.size else FREE_AIR_HU[0]


def _before_and_behind(body_DHW: Mask) -> Mask:
    """Where there is body both further to the front and further to the back."""
    behind = np.logical_or.accumulate(body_DHW, axis=1)
    before = np.logical_or.accumulate(body_DHW[:, ::-1], axis=1)[:, ::-1]
    between: Mask = behind & before
    return between


def _mostly_within(mask_DHW: Mask, region_DHW: Mask) -> Mask:
    """The components of a mask that have at least half of their voxels in a region."""
    labels, count = ndimage.label(mask_DHW)
    whole = np.bincount(labels.ravel(), minlength=count + 1)
    within = np.bincount(labels[region_DHW], minlength=count + 1)
    kept = 2 * within >= whole
    kept[0] = False
    result: Mask = kept[labels]
    return result


def largest(mask_DHW: Mask) -> Mask:
    """The component of a mask with the most voxels; all False when the mask is."""
    labels, count = ndimage.label(mask_DHW)
    if count == 0:
        return np.zeros_like(mask_DHW)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.equal(labels, sizes.argmax())


def fill_holes(mask_DHW: Mask) -> Mask:
    """Fill what a mask encloses in three dimensions."""
    labels, count = ndimage.label(~mask_DHW)
    outside = np.zeros(count + 1, np.bool_)
    for axis in range(3):
        outside[np.moveaxis(labels, axis, 0)[[0, -1]].ravel()] = True
    # Label 0 is the mask itself, whether or not it touches a face.
    outside[0] = False
    filled: Mask = ~outside[labels]
    return filled


def box_of(mask_DHW: Mask, margin: int) -> tuple[slice, slice, slice]:
    """The box around a mask that is not empty, grown by a margin up to the array's edge."""
    box = []
    for axis, size in enumerate(mask_DHW.shape):
        inside = np.flatnonzero(mask_DHW.any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(max(0, int(inside[0]) - margin), min(size, int(inside[-1]) + 1 + margin)))
    return box[0], box[1], box[2]
