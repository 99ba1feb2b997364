"""The trachea and the main bronchi, followed slice by slice from the top.

In each slice a branch is the connected air that overlaps the branch in the slice above. It is a leak, not an airway,
when its area jumps or too little tissue surrounds it; the branch is then retried at a lower threshold, and ends when
none holds.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dcam_dist.ingest.lungs.components import IN_PLANE
from dcam_dist.ingest.lungs.working import WORKING_MM, Mask

THRESHOLDS_HU = (-500.0, -600.0, -700.0, -775.0, -850.0, -900.0, -930.0, -960.0)
AREA_MM2 = (40.0, 900.0)
"""Cross-section of the trachea in an axial slice, from a narrow to a very wide one."""
BRANCH_MM2 = 24.0
"""A branch thinner than this ends: what follows are bronchi within the lung."""
GROWTH = 1.5
GROWTH_MM2 = 80.0
"""A branch may grow by this factor plus this area from slice to slice: at the carina, and where it runs level."""
TISSUE_MM = 8.0
TISSUE_HU = -500.0
TISSUE_SHARE = 0.3
"""The least share of tissue within ``TISSUE_MM`` around an airway; inside a lung there is far less."""
OFF_MIDLINE_MM = 45.0
LENGTH_MM = 30.0
"""A trachea is seen over at least this height."""
TOP_SHARE = 0.6
"""The share of the scan's height, from the top, in which the trachea may begin."""

Plane = NDArray[np.bool_]

_REACH = round(TISSUE_MM / WORKING_MM)
_AROUND = np.hypot(*np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1]) <= _REACH


def airway_mask(hu_DHW: NDArray[np.float32], air_DHW: Mask, body_DHW: Mask) -> Mask:
    """Find the trachea and the main bronchi.

    Args:
        hu_DHW: HU on the working grid.
        air_DHW: Air inside the body on the same grid.
        body_DHW: The thick tissue of the body on the same grid.

    Returns:
        The airways down to where they enter the lungs; all False when no trachea was found.
    """
    best = seen = np.zeros_like(air_DHW)
    for z, seed in _seeds(air_DHW, body_DHW):
        if seen[z][seed].any():
            continue
        course = _follow(hu_DHW, air_DHW, z, seed)
        seen = seen | course
        heights = np.count_nonzero(course.any(axis=(1, 2)))
        if heights * WORKING_MM >= LENGTH_MM and np.count_nonzero(course) > np.count_nonzero(best):
            best = course
    return best


def _seeds(air_DHW: Mask, body_DHW: Mask) -> Iterator[tuple[int, Plane]]:
    """Pieces of air of a trachea's size near the body's midline, from the top slice down."""
    labels, _ = ndimage.label(air_DHW, structure=IN_PLANE)
    for z in range(len(air_DHW) - 1, int(len(air_DHW) * (1 - TOP_SHARE)) - 1, -1):
        body_x = np.flatnonzero(body_DHW[z].any(axis=0))
        if not body_x.size:
            continue
        middle = float(np.average(np.arange(body_DHW.shape[2]), weights=body_DHW[z].sum(axis=0)))
        numbers, sizes = np.unique(labels[z], return_counts=True)
        for number, size in zip(numbers.tolist(), sizes.tolist(), strict=True):
            piece = labels[z] == number
            if number and _within(size) and abs(np.nonzero(piece)[1].mean() - middle) * WORKING_MM <= OFF_MIDLINE_MM:
                yield z, piece


def _within(voxels: int) -> bool:
    return AREA_MM2[0] <= voxels * WORKING_MM**2 <= AREA_MM2[1]


def _follow(hu_DHW: NDArray[np.float32], air_DHW: Mask, top: int, seed: Plane) -> Mask:
    """Follow a seed and its branches downwards until each ends."""
    course = np.zeros_like(air_DHW)
    branches = _continuations(hu_DHW[top], air_DHW[top], seed)
    for z in range(top, -1, -1):
        if not branches:
            break
        for branch in branches:
            course[z] |= branch
        if z > 0:
            branches = [below for branch in branches for below in _continuations(hu_DHW[z - 1], air_DHW[z - 1], branch)]
            branches = _distinct(branches)
    return course


def _distinct(branches: list[Plane]) -> list[Plane]:
    """Branches that have met again count once."""
    kept: list[Plane] = []
    for branch in branches:
        if not any(np.logical_and(branch, other).any() for other in kept):
            kept.append(branch)
    return kept


def _continuations(hu_HW: NDArray[np.float32], air_HW: Plane, above_HW: Plane) -> list[Plane]:
    """The pieces of airway in a slice that continue a branch of the slice above."""
    window = _window(above_HW)
    hu, air, above = hu_HW[window], air_HW[window], above_HW[window]
    limit = GROWTH * np.count_nonzero(above) + GROWTH_MM2 / WORKING_MM**2
    taken = np.zeros_like(above)
    found: list[Plane] = []
    for threshold in THRESHOLDS_HU:
        labels, _ = ndimage.label(air & (hu < threshold))
        for number in np.unique(labels[above & ~taken]):
            piece = labels == number
            if number and not (piece & taken).any() and _is_airway(hu, piece, limit):
                taken |= piece
                found.append(_embed(piece, window, above_HW.shape))
    return found


def _is_airway(hu_HW: NDArray[np.float32], piece_HW: Plane, limit_voxels: float) -> bool:
    size = np.count_nonzero(piece_HW)
    if not BRANCH_MM2 / WORKING_MM**2 <= size <= min(limit_voxels, AREA_MM2[1] / WORKING_MM**2):
        return False
    around = ndimage.binary_dilation(piece_HW, _AROUND) & ~piece_HW
    return float((hu_HW[around] > TISSUE_HU).mean()) >= TISSUE_SHARE


def _window(plane_HW: Plane) -> tuple[slice, slice]:
    """The box around a branch in which its continuation must lie."""
    margin = round(40.0 / WORKING_MM)
    rows, columns = np.flatnonzero(plane_HW.any(axis=1)), np.flatnonzero(plane_HW.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _embed(piece_HW: Plane, window: tuple[slice, slice], shape: tuple[int, ...]) -> Plane:
    plane = np.zeros(shape, np.bool_)
    plane[window] = piece_HW
    return plane
