"""The working grid: every scan, fine or coarse, is looked at with the same isotropic voxels.

All parameters of the segmentation are physical. A common grid makes them mean the same for a 0.7 mm and a 7 mm scan,
and bounds the cost by the size of the patient instead of the size of the matrix.
"""

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dcam_dist.types import Geometry

WORKING_MM = 2.0
HU_RANGE = (-1024, 400)
"""Padding (−2048 and the like) must not bleed into its neighbours, nor must metal."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WorkingVolume:
    """A scan on the working grid.

    Attributes:
        hu_DHW: float32 HU within ``HU_RANGE``, ``WORKING_MM`` apart along each axis.
        native_shape: Shape of the scan.
        spacing_mm: Voxel size of the scan along ``(z, y, x)``.
    """

    hu_DHW: NDArray[np.float32]
    native_shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def nearest(self, axis: int) -> NDArray[np.intp]:
        """Working index that each of the scan's voxels falls into along an axis; shape (native_shape[axis],)."""
        edge = (np.arange(self.native_shape[axis]) + 0.5) * self.spacing_mm[axis] / WORKING_MM
        index: NDArray[np.intp] = np.minimum(edge.astype(np.intp), self.hu_DHW.shape[axis] - 1)
        return index


def to_working(hu_DHW: NDArray[np.int16], geometry: Geometry) -> WorkingVolume:
    """Resample a scan to the working grid, averaging where it is finer and interpolating where it is coarser.

    Args:
        hu_DHW: HU, shape (D, H, W).
        geometry: The scan's geometry; only its voxel sizes are used.

    Returns:
        The scan on the working grid. Both grids start at the same outer edge.
    """
    spacing = geometry.spacing_mm
    weights_z, weights_y, weights_x = (_axis_weights(n, mm) for n, mm in zip(hu_DHW.shape, spacing, strict=True))
    plane_D = np.empty((hu_DHW.shape[0], weights_y.shape[0], weights_x.shape[0]), np.float32)
    for z, slice_HW in enumerate(hu_DHW):
        rows = weights_y @ np.clip(slice_HW, *HU_RANGE).astype(np.float32)
        plane_D[z] = (weights_x @ rows.T).T
    working = (weights_z @ plane_D.reshape(len(plane_D), -1)).reshape(-1, *plane_D.shape[1:])
    return WorkingVolume(working, geometry.shape, spacing)


def _axis_weights(size: int, spacing_mm: float) -> "csr_array[np.float32]":
    """Weights of a triangle filter as wide as the coarser grid's voxels, (working size, size); sparse."""
    source = (np.arange(size) + 0.5) * spacing_mm
    target = (np.arange(max(1, math.ceil(size * spacing_mm / WORKING_MM - 1e-6))) + 0.5) * WORKING_MM
    width = max(spacing_mm, WORKING_MM)
    triangle = np.maximum(0.0, 1.0 - np.abs(target[:, None] - source[None, :]) / width)
    return csr_array((triangle / triangle.sum(axis=1, keepdims=True)).astype(np.float32))


def dilate(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Dilation of a working mask with a ball."""
    return _as_mask(SimpleITK.BinaryDilate(_as_image(mask_DHW), _ball(radius_mm)))


def erode(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Erosion of a working mask with a ball; the outside of the array does not erode."""
    return ~dilate(~mask_DHW, radius_mm)


def opened(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Opening of a working mask with a ball."""
    return dilate(erode(mask_DHW, radius_mm), radius_mm)


def closed(mask_DHW: Mask, radius_mm: float) -> Mask:
    """Closing of a working mask with a ball; the outside of the array counts as background."""
    return _as_mask(
        SimpleITK.BinaryMorphologicalClosing(_as_image(mask_DHW), _ball(radius_mm), SimpleITK.sitkBall, 1, True)
    )


def _ball(radius_mm: float) -> list[int]:
    return [max(1, round(radius_mm / WORKING_MM))] * 3


def _as_image(mask_DHW: Mask) -> SimpleITK.Image:
    return SimpleITK.GetImageFromArray(mask_DHW.astype(np.uint8))


def _as_mask(image: SimpleITK.Image) -> Mask:
    mask: Mask = SimpleITK.GetArrayViewFromImage(image).astype(np.bool_)
    return mask
