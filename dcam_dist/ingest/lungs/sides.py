"""Right and left: every voxel of a lung mask belongs to one of the patient's two lungs.

Lungs that do not touch are told by where they lie. Lungs that touch, mostly in front of the heart, are parted along the
septum of pleura between them where it shows, else eroded until they part. The parts then grow back in the order in
which the voxels were taken away, so that they meet at the septum or at the narrowest place.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dcam_dist.ingest.lungs.candidates import centre_of
from dcam_dist.ingest.lungs.components import AIR_HU, box_of
from dcam_dist.ingest.lungs.morphology import dilate, dilate_cross, erode
from dcam_dist.ingest.lungs.working import WORKING_MM, Mask, WorkingGrid
from dcam_dist.types import Geometry

RIGHT, LEFT = 1, 2
"""The patient's right and left lung in a label mask; 0 is outside."""
BEYOND_SHARE = 0.2
"""A piece with less than this beyond the middle is one lung, which may bulge over it."""
PART_SHARE = 0.1
"""Each of two lungs that are cut apart has at least this share of both."""
SEPTUM_HU = (-500.0, -600.0, -700.0, -770.0)
"""Pleura of a millimetre or two, averaged over a working voxel, lies above one of these; most of a lung below."""
DEEPEST_MM = 30.0
"""Half the width of the widest contact; a trachea between the lungs in a given mask is narrower."""
REACH_MM = 4.0
"""How far around the working lungs the scan's own voxels may lie."""

Sides = NDArray[np.uint8]


def split_sides(lungs_DHW: Mask, hu_DHW: NDArray[Any], middle: float) -> Sides:
    """Label a working mask.

    Args:
        lungs_DHW: One or two lungs, in any number of pieces; not empty.
        hu_DHW: HU on the same grid.
        middle: The column ``x`` of the body's middle.

    Returns:
        0, ``RIGHT`` and ``LEFT``.
    """
    box = box_of(lungs_DHW, 1)
    pieces, count = ndimage.label(lungs_DHW[box])
    middle_in_box = middle - box[2].start
    places = ndimage.find_objects(pieces)
    centre_zyx = np.zeros((count + 1, 3))
    for number, place in enumerate(places, start=1):
        centre_zyx[number] = centre_of(pieces[place] == number) + [part.start for part in place]
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    side_of = np.where(centre_zyx[:, 2] < _plane(sizes, centre_zyx, middle_in_box), RIGHT, LEFT).astype(np.uint8)
    side_of[0] = 0
    sides = side_of[pieces]
    for number in np.flatnonzero(sizes >= PART_SHARE * sizes.max()).tolist():
        cut = _cut_apart(pieces == number, hu_DHW[box], middle_in_box)
        if cut is not None:
            sides[pieces == number] = cut[pieces == number]
    result = np.zeros(lungs_DHW.shape, np.uint8)
    result[box] = sides
    return result


def _plane(sizes_N: NDArray[np.int64], centre_N3: NDArray[np.float64], middle: float) -> float:
    """The column between two lungs that lie side by side; else the body's middle."""
    first, second = np.argsort(-sizes_N, kind="stable")[:2].tolist()
    return float(centre_N3[[first, second], 2].mean()) if _side_by_side(sizes_N, centre_N3) else middle


def _side_by_side(sizes_N: NDArray[np.int64], centre_N3: NDArray[np.float64]) -> bool:
    """Whether the two largest pieces are two lungs, and not two parts of one."""
    first, second = np.argsort(-sizes_N, kind="stable")[:2].tolist()
    if sizes_N[second] < PART_SHARE * (sizes_N[first] + sizes_N[second]):
        return False
    apart = np.abs(centre_N3[second] - centre_N3[first])
    return bool(apart[2] >= max(apart[0], apart[1]))


def _cut_apart(piece_DHW: Mask, hu_DHW: NDArray[Any], middle: float) -> Sides | None:
    """Cut a piece that holds both lungs; None when it holds one."""
    if _beyond(piece_DHW, middle) < BEYOND_SHARE:
        return None
    for levels in _levels(piece_DHW, hu_DHW):
        seeds = _two_lungs(levels[-1])
        if seeds is not None:
            return _grow_back(seeds, levels)
    return None


def _beyond(piece_DHW: Mask, column: float) -> float:
    """The share of a piece on that side of a column that has less of it."""
    columns = piece_DHW.sum(axis=(0, 1))
    share = float(columns[: max(0, round(column))].sum() / columns.sum())
    return min(share, 1 - share)


def _levels(piece_DHW: Mask, hu_DHW: NDArray[Any]) -> Iterator[list[Mask]]:
    """Ever smaller masks, each after those that lead to it: without the denser septum, then eroded."""
    for threshold in SEPTUM_HU:
        yield [piece_DHW, piece_DHW & (hu_DHW < threshold)]
    levels = [piece_DHW]
    while len(levels) * WORKING_MM <= DEEPEST_MM:
        levels.append(erode(levels[-1], WORKING_MM))
        yield levels


def _two_lungs(eroded_DHW: Mask) -> Sides | None:
    """The two largest parts of what the erosion has left, if they lie side by side."""
    parts, count = ndimage.label(eroded_DHW)
    if count < 2:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    pair = np.argsort(-sizes, kind="stable")[:2]
    centre_zyx = np.zeros((count + 1, 3))
    centre_zyx[pair] = [centre_of(parts == number) for number in pair]
    if not _side_by_side(sizes, centre_zyx):
        return None
    seeds = np.zeros(parts.shape, np.uint8)
    for side, number in zip((RIGHT, LEFT), sorted(pair, key=lambda part: centre_zyx[part, 2]), strict=True):
        seeds[parts == number] = side
    plane = float(centre_zyx[pair, 2].mean())
    # A part that reaches far over to the other one is still both lungs, and the other a piece of one.
    return seeds if all(_beyond(seeds == side, plane) < BEYOND_SHARE for side in (RIGHT, LEFT)) else None


def _grow_back(sides_DHW: Sides, levels: list[Mask]) -> Sides:
    for level in reversed(levels):
        while True:
            free = level & (sides_DHW == 0)
            right, left = (free & dilate_cross(sides_DHW == side) for side in (RIGHT, LEFT))
            if not (right.any() or left.any()):
                break
            sides_DHW[left] = LEFT
            sides_DHW[right] = RIGHT
    return sides_DHW


def side_field(sides_DHW: Sides, middle: float) -> Sides:
    """The side of every working voxel: that of the lung near it, else of the half of the body.

    Args:
        sides_DHW: Labelled lungs.
        middle: The column ``x`` of the body's middle.
    """
    field = np.full(sides_DHW.shape, LEFT, np.uint8)
    field[:, :, : max(0, round(middle))] = RIGHT
    right, left = (dilate(sides_DHW == side, REACH_MM) for side in (RIGHT, LEFT))
    field[right & ~left] = RIGHT
    field[left & ~right] = LEFT
    return np.where(sides_DHW > 0, sides_DHW, field)


def label_sides(mask_DHW: Mask, hu_DHW: NDArray[np.int16], geometry: Geometry) -> Sides:
    """Label a lung mask that comes with the scan; which voxels are lung stays as it is.

    Args:
        mask_DHW: A canonical mask that is not empty.
        hu_DHW: The scan on the same grid.
        geometry: Of both.

    Returns:
        uint8, 0 outside the mask, ``RIGHT`` and ``LEFT`` within.
    """
    grid = WorkingGrid.over(geometry)
    lungs = np.asarray(grid.sample(mask_DHW), np.bool_)
    hu = grid.sample(hu_DHW)
    columns = np.count_nonzero(hu > AIR_HU, axis=(0, 1))
    middle = float(np.average(np.arange(len(columns)), weights=columns + 1e-9))
    sides = split_sides(lungs, hu, middle) if lungs.any() else lungs.astype(np.uint8)
    field = side_field(sides, middle)
    z_index, y_index, x_index = (grid.nearest(axis) for axis in range(3))
    result = np.empty(mask_DHW.shape, np.uint8)
    for z, slice_HW in enumerate(mask_DHW):
        np.multiply(field[z_index[z]][y_index][:, x_index], slice_HW, out=result[z])
    return result
