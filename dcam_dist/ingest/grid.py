"""From a scan and its lungs to the two stored levels: the lungs' crop, and the training grid.

The grid's axes are those of the crop, only scaled and shifted, so it is resampled axis by axis: each grid voxel is
the mean of the scan over the voxel's own extent, but at least over one scan voxel. Where the grid is finer than the
scan that is linear interpolation; where it is coarser it is the area average, which keeps the mean HU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dcam_dist.cohort import VolumeLevels
from dcam_dist.cohort.spatial import crop_geometry
from dcam_dist.config import GridConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.lungs import LEFT, RIGHT
from dcam_dist.ingest.scan import AIR_HU
from dcam_dist.types import Geometry

Shape = tuple[int, int, int]
Read = Callable[[NDArray[Any]], NDArray[Any]]
Weights = Any
"""A sparse float32 matrix (grid voxels × scan voxels) of one axis (SciPy's stubs know no element type here)."""


@dataclass(frozen=True)
class Box:
    """A box of voxels along (z, y, x): its first voxel and its shape."""

    start: Shape
    shape: Shape

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index."""
        z, y, x = (slice(start, start + size) for start, size in zip(self.start, self.shape, strict=True))
        return z, y, x


@dataclass(frozen=True)
class Axis:
    """How the grid lies along one axis of the scan.

    Attributes:
        step: Grid voxel size in scan voxels.
        first: Centre of the first grid voxel, as a scan index.
        count: Grid voxels.
    """

    step: float
    first: float
    count: int


def build_levels(
    hu_DHW: NDArray[np.int16], lung_mask_DHW: NDArray[np.uint8], geometry: Geometry, config: GridConfig
) -> tuple[VolumeLevels, Geometry, Geometry]:
    """Crop to the lungs and resample onto the training grid.

    Args:
        hu_DHW: Canonical HU.
        lung_mask_DHW: Lungs on the same grid, not empty: 0 outside, 1 right, 2 left.
        geometry: Of both.
        config: Shape, fit, spacing, and margin around the lungs.

    Returns:
        The levels, and the geometries of the native crop and of the grid.

    Raises:
        CaseRejected: ``lungs_exceed_grid``, when the fit is ``spacing`` and the lungs are larger than the grid.
    """
    lungs = bounding_box(lung_mask_DHW)
    crop = with_margin(lungs, geometry, config.margin_mm)
    axes = grid_axes(lungs, crop, geometry, config)
    levels = VolumeLevels(
        native_hu_DHW=hu_DHW[crop.slices],
        native_mask_DHW=lung_mask_DHW[crop.slices],
        grid_hu_DHW=np.rint(resample_axes(hu_DHW, axes, outside=AIR_HU)).astype(np.int16),
        grid_mask_DHW=_resample_sides(lung_mask_DHW, axes),
    )
    return levels, crop_geometry(geometry, crop.start, crop.shape), grid_geometry(geometry, axes)


def _resample_sides(lung_mask_DHW: NDArray[np.uint8], axes: tuple[Axis, Axis, Axis]) -> NDArray[np.uint8]:
    """Grid voxels that are more than half lung, each on the side with the larger share; the right one in a tie."""
    lungs = resample_axes(lung_mask_DHW, axes, outside=0.0, read=lambda mask_HW: mask_HW > 0)
    right = resample_axes(lung_mask_DHW, axes, outside=0.0, read=lambda mask_HW: mask_HW == RIGHT)
    side = np.where(right >= lungs / 2, np.uint8(RIGHT), np.uint8(LEFT))
    return np.where(lungs > 0.5, side, np.uint8(0))


def bounding_box(mask_DHW: NDArray[Any]) -> Box:
    """The smallest box around a mask that is not empty."""
    inside = [np.flatnonzero(mask_DHW.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    return Box(_shape([found[0] for found in inside]), _shape([found[-1] - found[0] + 1 for found in inside]))


def with_margin(box: Box, geometry: Geometry, margin_mm: float) -> Box:
    """A box grown on every side, up to the edge of the scan."""
    margin = [int(np.ceil(margin_mm / step)) for step in geometry.spacing_mm]
    start = [max(0, first - grow) for first, grow in zip(box.start, margin, strict=True)]
    stops = zip(box.start, box.shape, margin, geometry.shape, strict=True)
    stop = [min(limit, first + size + grow) for first, size, grow, limit in stops]
    return Box(_shape(start), _shape([last - first for first, last in zip(start, stop, strict=True)]))


def grid_axes(lungs: Box, crop: Box, geometry: Geometry, config: GridConfig) -> tuple[Axis, Axis, Axis]:
    """Lay the grid over the scan: stretched over the crop, or of fixed spacing and centred on the lungs.

    Raises:
        CaseRejected: ``lungs_exceed_grid``.
    """
    if config.spacing_mm is None:
        steps = [size / count for size, count in zip(crop.shape, config.shape, strict=True)]
        box = crop
    else:
        steps = [wanted / native for wanted, native in zip(config.spacing_mm, geometry.spacing_mm, strict=True)]
        box = lungs
        _check_fit(lungs, geometry, config.shape, config.spacing_mm)
    z, y, x = (
        Axis(step, start + (size - 1) / 2 - step * (count - 1) / 2, count)
        for step, start, size, count in zip(steps, box.start, box.shape, config.shape, strict=True)
    )
    return z, y, x


def grid_geometry(geometry: Geometry, axes: tuple[Axis, Axis, Axis]) -> Geometry:
    """The geometry of a grid laid over a scan."""
    matrix = geometry.matrix
    matrix[:3, 3] += matrix[:3, :3] @ np.asarray([axis.first for axis in reversed(axes)])
    matrix[:3, :3] *= [axis.step for axis in reversed(axes)]
    return Geometry.from_matrix(tuple(axis.count for axis in axes), matrix)


def resample_axes(
    volume_DHW: NDArray[Any], axes: tuple[Axis, Axis, Axis], *, outside: float, read: Read | None = None
) -> NDArray[np.float32]:
    """Resample a volume axis by axis.

    Args:
        volume_DHW: Any real type.
        axes: Where the grid lies along each axis.
        outside: Value of grid voxels whose centre is beyond the volume.
        read: Turns each slice into the one that is resampled.

    Returns:
        float32 of the grid's shape.
    """
    (over_z, in_z), (over_y, in_y), (over_x, in_x) = (
        axis_weights(axis, size) for axis, size in zip(axes, volume_DHW.shape, strict=True)
    )
    grid_DHW = np.zeros([axis.count for axis in axes], np.float32)
    by_slice = over_z.tocsc()
    for z in np.unique(over_z.indices):  # one slice in float at a time, so that memory stays near the volume's own
        slice_HW = volume_DHW[z] if read is None else read(volume_DHW[z])
        rows_HW = over_y @ slice_HW.astype(np.float32)
        plane_HW = (over_x @ np.ascontiguousarray(rows_HW.T)).T
        reached = slice(by_slice.indptr[z], by_slice.indptr[z + 1])
        for to, weight in zip(by_slice.indices[reached], by_slice.data[reached], strict=True):
            grid_DHW[to] += weight * plane_HW
    grid_DHW[~(in_z[:, None, None] & in_y[:, None] & in_x)] = outside
    return grid_DHW


def axis_weights(axis: Axis, size: int) -> tuple[Weights, NDArray[np.bool_]]:
    """The share of each scan voxel in each grid voxel along one axis.

    Returns:
        Weights (count, size) whose rows sum to 1, all zero for voxels beyond the scan; and which are within it.
    """
    centre = axis.first + axis.step * np.arange(axis.count)
    inside = (centre >= -0.5 - 1e-9) & (centre < size - 0.5 - 1e-9)
    half = max(axis.step, 1.0) / 2
    reach = int(np.ceil(half)) + 1
    index = np.floor(centre)[:, None].astype(np.int64) + np.arange(-reach, reach + 2)
    low, high = (centre - half)[:, None], (centre + half)[:, None]
    overlap = np.clip(np.minimum(high, index + 0.5) - np.maximum(low, index - 0.5), 0.0, None)
    overlap[(index < 0) | (index >= size) | ~inside[:, None]] = 0.0
    total = overlap.sum(axis=1, keepdims=True)
    overlap = np.divide(overlap, total, out=np.zeros_like(overlap), where=total > 0)
    row, column = np.nonzero(overlap > 1e-9)
    values = overlap[row, column].astype(np.float32)
    return sparse.csr_array((values, (row, index[row, column])), shape=(axis.count, size)), inside


def _check_fit(lungs: Box, geometry: Geometry, shape: Shape, spacing_mm: tuple[float, float, float]) -> None:
    lungs_mm = [size * step for size, step in zip(lungs.shape, geometry.spacing_mm, strict=True)]
    grid_mm = [count * step for count, step in zip(shape, spacing_mm, strict=True)]
    if any(needed > held for needed, held in zip(lungs_mm, grid_mm, strict=True)):
        extents = [" × ".join(f"{length:.0f}" for length in box) for box in (lungs_mm, grid_mm)]
        raise CaseRejected(
            Reason.LUNGS_EXCEED_GRID, f"the lungs span {extents[0]} mm (z, y, x), the grid {extents[1]} mm; enlarge it"
        )


def _shape(values: Any) -> Shape:
    z, y, x = (int(value) for value in values)
    return z, y, x
