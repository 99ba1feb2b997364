"""Volumes in space: to and from SimpleITK, to canonical axes, and onto another grid.

Arrays are ``[z, y, x]``, affines map the index ``(x, y, z, 1)`` to LPS millimetres (see ``types``).
"""

from typing import Any, Literal, TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from dcam_dist.types import Geometry

Image = Any
"""A ``SimpleITK.Image`` (the library ships no types)."""

Interpolation = Literal["linear", "nearest"]
AnyVolume = TypeVar("AnyVolume", bound=NDArray[Any])

_INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}
_AXIS_OF = {"R": 0, "L": 0, "A": 1, "P": 1, "I": 2, "S": 2}


def to_sitk(array_DHW: NDArray[Any], geometry: Geometry) -> Image:
    """A SimpleITK image of the array, in its place in the patient.

    Raises:
        ValueError: When the array's shape is not the geometry's.
    """
    if array_DHW.shape != geometry.shape:
        raise ValueError(f"an array of shape {array_DHW.shape} does not fit a geometry of shape {geometry.shape}")
    values = array_DHW.astype(np.uint8) if array_DHW.dtype == np.bool_ else array_DHW
    image = sitk.GetImageFromArray(values)
    spacing_xyz = geometry.spacing_mm[::-1]
    image.SetSpacing(spacing_xyz)
    image.SetDirection((geometry.matrix[:3, :3] / spacing_xyz).ravel().tolist())
    image.SetOrigin(geometry.matrix[:3, 3].tolist())
    return image


def from_sitk(image: Image) -> tuple[NDArray[Any], Geometry]:
    """The voxels (a copy) and geometry of a 3D SimpleITK image."""
    return sitk.GetArrayFromImage(image), geometry_of(image)


def geometry_of(image: Image) -> Geometry:
    """The geometry of a 3D SimpleITK image, or of an image reader that has read its header."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return Geometry.from_matrix(tuple(image.GetSize()[::-1]), matrix)


def resample(image: Image, geometry: Geometry, *, interpolation: Interpolation, outside: float) -> NDArray[Any]:
    """Sample an image at the voxels of another geometry, without smoothing.

    Args:
        image: A 3D SimpleITK image.
        geometry: Where to sample.
        interpolation: ``nearest`` keeps labels intact.
        outside: Value of voxels beyond the image.

    Returns:
        An array of the geometry's shape and the image's type.
    """
    reference = to_sitk(np.broadcast_to(np.uint8(0), geometry.shape), geometry)
    resampled = sitk.Resample(image, reference, sitk.Transform(), _INTERPOLATORS[interpolation], outside)
    return sitk.GetArrayFromImage(resampled)  # type: ignore[no-any-return]


def canonical(array_DHW: AnyVolume, geometry: Geometry) -> tuple[AnyVolume, Geometry]:
    """Turn a volume to the nearest canonical (LPS) axes by permutation and flips alone.

    Oblique cosines stay in the affine, so every voxel keeps its world coordinates.

    Returns:
        The volume, C-contiguous (the same memory where it was canonical already), and its geometry.
    """
    matrix = geometry.matrix
    cosines = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    letters = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(cosines.ravel().tolist())
    world_of_axis = [_AXIS_OF[letter] for letter in letters]
    axis_of_world = [world_of_axis.index(world) for world in range(3)]
    turned = np.transpose(array_DHW, [2 - axis_of_world[2 - axis] for axis in range(3)])
    steps, origin = matrix[:3, axis_of_world], matrix[:3, 3]
    for world in range(3):
        if steps[world, world] < 0:
            last = turned.shape[2 - world] - 1
            origin = origin + last * steps[:, world]
            steps[:, world] *= -1
            turned = np.flip(turned, axis=2 - world)
    oriented = np.eye(4)
    oriented[:3, :3], oriented[:3, 3] = steps, origin
    return np.ascontiguousarray(turned), Geometry.from_matrix(turned.shape, oriented)  # type: ignore[return-value]


def crop_geometry(geometry: Geometry, start_zyx: tuple[int, int, int], shape: tuple[int, int, int]) -> Geometry:
    """The geometry of a box of voxels that begins at an index (z, y, x)."""
    matrix = geometry.matrix
    matrix[:3, 3] += matrix[:3, :3] @ np.asarray(start_zyx[::-1], dtype=np.float64)
    return Geometry.from_matrix(shape, matrix)


def same_space(first: Geometry, second: Geometry, *, tolerance_mm: float) -> bool:
    """Whether two geometries have one shape and all corners within a distance of each other."""
    if first.shape != second.shape:
        return False
    apart_mm = np.linalg.norm(corners_mm(first) - corners_mm(second), axis=0)
    return bool(apart_mm.max() <= tolerance_mm)


def corners_mm(geometry: Geometry) -> NDArray[np.float64]:
    """The centres of the eight corner voxels in LPS millimetres, (3, 8)."""
    ends = [(0, size - 1) for size in geometry.shape[::-1]]
    index = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
    corners: NDArray[np.float64] = (geometry.matrix @ np.vstack([index, np.ones(8)]))[:3]
    return corners
