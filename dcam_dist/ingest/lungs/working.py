"""The working grid: every scan, fine or coarse, is looked at with the same isotropic voxels.

All parameters of the segmentation are physical. A common grid makes them mean the same for a 0.7 mm and a 7 mm scan,
and bounds the cost by the size of the patient instead of the size of the matrix.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dcam_dist.ingest.lungs.field_of_view import seen_of
from dcam_dist.types import Geometry

WORKING_MM = 2.0
HU_RANGE = (-1024, 400)
"""Padding (−2048 and the like) must not bleed into its neighbours, nor must metal."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class WorkingGrid:
    """How the working grid lies over a scan; both start at the same outer edge.

    Attributes:
        native_shape: Shape of the scan.
        spacing_mm: Voxel size of the scan along ``(z, y, x)``.
    """

    native_shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def over(cls, geometry: Geometry) -> "WorkingGrid":
        """The working grid of a scan; only its shape and voxel sizes are used."""
        return cls(geometry.shape, geometry.spacing_mm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Working voxels along ``(z, y, x)``."""
        sizes = zip(self.native_shape, self.spacing_mm, strict=True)
        z, y, x = (max(1, math.ceil(size * mm / WORKING_MM - 1e-6)) for size, mm in sizes)
        return z, y, x

    def nearest(self, axis: int) -> NDArray[np.intp]:
        """Working index that each of the scan's voxels falls into along an axis; shape (native_shape[axis],)."""
        edge = (np.arange(self.native_shape[axis]) + 0.5) * self.spacing_mm[axis] / WORKING_MM
        index: NDArray[np.intp] = np.minimum(edge.astype(np.intp), self.shape[axis] - 1)
        return index

    def sample(self, volume_DHW: NDArray[Any]) -> NDArray[Any]:
        """A volume of the scan's grid at the centres of the working voxels, without averaging."""
        index = []
        for count, size, mm in zip(self.shape, self.native_shape, self.spacing_mm, strict=True):
            centre = (np.arange(count) + 0.5) * WORKING_MM / mm
            index.append(np.minimum(centre.astype(np.intp), size - 1))
        return volume_DHW[np.ix_(*index)]

    def axis_weights(self, axis: int) -> "csr_array[np.float32]":
        """Weights of a triangle filter as wide as the coarser grid's voxels, (working size, size); sparse."""
        spacing_mm = self.spacing_mm[axis]
        source = (np.arange(self.native_shape[axis]) + 0.5) * spacing_mm
        target = (np.arange(self.shape[axis]) + 0.5) * WORKING_MM
        width = max(spacing_mm, WORKING_MM)
        triangle = np.maximum(0.0, 1.0 - np.abs(target[:, None] - source[None, :]) / width)
        return csr_array((triangle / triangle.sum(axis=1, keepdims=True)).astype(np.float32))


@dataclass(frozen=True, eq=False)
class WorkingVolume:
    """A scan on the working grid.

    Attributes:
        hu_DHW: float32 HU within ``HU_RANGE``, ``WORKING_MM`` apart along each axis.
        seen_HW: Where the scanner has measured, on the working grid; the same in every slice.
        native_seen_HW: The same on the scan's grid.
        grid: How the working grid lies over the scan.
    """

    hu_DHW: NDArray[np.float32]
    seen_HW: NDArray[np.bool_]
    native_seen_HW: NDArray[np.bool_]
    grid: WorkingGrid


def to_working(hu_DHW: NDArray[np.int16], geometry: Geometry) -> WorkingVolume:
    """Resample a scan to the working grid, averaging where it is finer and interpolating where it is coarser.

    Args:
        hu_DHW: HU, shape (D, H, W).
        geometry: The scan's geometry; only its voxel sizes are used.

    Returns:
        The scan on the working grid. Both grids start at the same outer edge.
    """
    grid = WorkingGrid.over(geometry)
    weights_z, weights_y, weights_x = (grid.axis_weights(axis) for axis in range(3))
    plane_D = np.empty((hu_DHW.shape[0], weights_y.shape[0], weights_x.shape[0]), np.float32)
    lowest, highest = hu_DHW[0].copy(), hu_DHW[0].copy()
    for z, slice_HW in enumerate(hu_DHW):  # one slice in float at a time: memory stays near the scan's own
        np.minimum(lowest, slice_HW, out=lowest)
        np.maximum(highest, slice_HW, out=highest)
        rows = weights_y @ np.clip(slice_HW, *HU_RANGE).astype(np.float32)
        plane_D[z] = (weights_x @ rows.T).T
    working = (weights_z @ plane_D.reshape(len(plane_D), -1)).reshape(-1, *plane_D.shape[1:])
    native_seen = seen_of(lowest, highest)
    seen = weights_y @ native_seen.astype(np.float32) @ weights_x.T > 0.99
    return WorkingVolume(working, np.asarray(seen, np.bool_), native_seen, grid)
