"""A stack that a tilted gantry has sheared, resampled onto a right-angled grid.

Each slice is shifted within its own plane by its offset, with linear interpolation. The grid keeps the slices' normal
and pixel size and is as large as all shifted slices together; where a slice does not reach, there is air.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.scan import AIR_HU
from dcam_dist.types import Geometry

TILT_RESAMPLED = "tilt_resampled"


def upright_geometry(
    geometry: Geometry, offset_mm_N2: NDArray[np.float64], max_voxels: int
) -> tuple[Geometry, NDArray[np.float64]]:
    """The right-angled grid that holds all slices.

    Args:
        geometry: Of the slices without their offsets, from the first slice's corner.
        offset_mm_N2: Offset of each slice within the plane: along a row, then down a column.
        max_voxels: Largest volume.

    Returns:
        The grid, and each slice's shift on it in pixels (x, then y), none negative.

    Raises:
        CaseRejected: ``too_large``.
    """
    _, between_rows, between_columns = geometry.spacing_mm
    shift_N2 = np.round((offset_mm_N2 - offset_mm_N2.min(axis=0)) / (between_columns, between_rows), 6)
    more_x, more_y = np.ceil(shift_N2.max(axis=0)).astype(int)
    depth, height, width = geometry.shape
    if depth * (height + more_y) * (width + more_x) > max_voxels:
        raise CaseRejected(Reason.TOO_LARGE, "without its tilt the scan has more voxels than ingest.max_voxels")
    matrix = geometry.matrix
    first_x, first_y = offset_mm_N2.min(axis=0) / (between_columns, between_rows)
    matrix[:3, 3] += matrix[:3, 0] * first_x + matrix[:3, 1] * first_y
    return Geometry.from_matrix((depth, height + more_y, width + more_x), matrix), shift_N2


def place_slices(
    slices: Iterable[NDArray[np.int16]], shift_N2: NDArray[np.float64], grid: Geometry
) -> NDArray[np.int16]:
    """Put slices of HU where they belong on the grid of ``upright_geometry``."""
    hu_DHW = np.full(grid.shape, AIR_HU, np.int16)
    for target_HW, slice_HW, (shift_x, shift_y) in zip(hu_DHW, slices, shift_N2, strict=True):
        moved_HW = _shift(_shift(slice_HW.astype(np.float32), shift_y % 1, axis=0), shift_x % 1, axis=1)
        y, x = int(shift_y), int(shift_x)
        height, width = (min(a, b) for a, b in zip(moved_HW.shape, (grid.shape[1] - y, grid.shape[2] - x), strict=True))
        target_HW[y : y + height, x : x + width] = np.rint(moved_HW[:height, :width])
    return hu_DHW


def _shift(slice_HW: NDArray[np.float32], part: float, axis: int) -> NDArray[np.float32]:
    """Shift by a part of a pixel; one pixel longer, air beyond both ends."""
    before, after = ([(0, 0), (0, 0)] for _ in range(2))
    before[axis], after[axis] = (1, 0), (0, 1)
    moved_HW = np.pad(slice_HW, after, constant_values=AIR_HU) * np.float32(1 - part)
    moved_HW += np.pad(slice_HW, before, constant_values=AIR_HU) * np.float32(part)
    return moved_HW
