"""Distance fields on a voxel frame: the small geometry kit that the anatomy is made of.

Every field is float32 of shape ``(D, H, W)`` in millimetres, negative inside. Fields are approximate distances: exact
enough on the surface for partial-volume weights, which is where they are used.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Frame:
    """Voxel centres in the phantom's own space: LPS directions, millimetres, the base of the lungs at z = 0.

    Attributes:
        z_D: Slice positions, inferior → superior.
        y_H: Row positions, anterior → posterior.
        x_W: Column positions, right → left.
    """

    z_D: Field
    y_H: Field
    x_W: Field

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along ``(z, y, x)``."""
        return self.z_D.size, self.y_H.size, self.x_W.size

    @property
    def origin_mm(self) -> NDArray[np.float64]:
        """The first voxel's centre, ``(z, y, x)``."""
        return np.array([self.z_D[0], self.y_H[0], self.x_W[0]], dtype=np.float64)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel size, ``(z, y, x)``."""
        axes = (self.z_D, self.y_H, self.x_W)
        return np.array([(axis[-1] - axis[0]) / (axis.size - 1) for axis in axes], dtype=np.float64)

    @property
    def z(self) -> Field:
        """Slice positions, broadcastable to the volume."""
        return self.z_D[:, None, None]

    @property
    def y(self) -> Field:
        """Row positions, broadcastable to the volume."""
        return self.y_H[None, :, None]

    @property
    def x(self) -> Field:
        """Column positions, broadcastable to the volume."""
        return self.x_W[None, None, :]

    def box(self, low_zyx: ArrayLike, high_zyx: ArrayLike) -> Box:
        """The slices that hold the box between two corners in millimetres (empty where outside)."""
        low, high = np.broadcast_to(low_zyx, 3), np.broadcast_to(high_zyx, 3)
        axes = (self.z_D, self.y_H, self.x_W)
        bounds = [
            slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b)))
            for axis, a, b in zip(axes, low, high, strict=True)
        ]
        return bounds[0], bounds[1], bounds[2]

    def crop(self, box: Box) -> "Frame":
        """The frame of a box of this one."""
        return Frame(self.z_D[box[0]], self.y_H[box[1]], self.x_W[box[2]])


def smooth_min(a: Field, b: Field, blend_mm: float) -> Field:
    """Union of two fields with a fillet of about ``blend_mm`` (quadratic polynomial smooth minimum)."""
    h = np.maximum(blend_mm - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(0.25 / blend_mm), dtype=np.float32)


def smooth_max(a: Field, b: Field, blend_mm: float) -> Field:
    """Intersection of two fields with a rounded edge of about ``blend_mm``."""
    h = np.maximum(blend_mm - np.abs(a - b), 0)
    return np.asarray(np.maximum(a, b) + h * h * np.float32(0.25 / blend_mm), dtype=np.float32)


def column(frame: Frame, center_yx: tuple[ArrayLike, ArrayLike], radii_yx: tuple[ArrayLike, ArrayLike]) -> Field:
    """An elliptic column along z whose centre and radii may change with z (scalars or arrays of shape (D,))."""
    cy, cx, ry, rx = (
        np.broadcast_to(np.asarray(value, dtype=np.float32), frame.z_D.shape)[:, None, None]
        for value in (*center_yx, *radii_yx)
    )
    r = np.sqrt(((frame.x - cx) / rx) ** 2 + ((frame.y - cy) / ry) ** 2)
    r -= 1
    r *= np.sqrt(rx * ry)
    return r


def ellipsoid(frame: Frame, center_zyx: Point, radii_zyx: Point) -> Field:
    """An ellipsoid along the axes."""
    terms = [
        ((axis - np.float32(c)) / np.float32(r)) ** 2
        for axis, c, r in zip((frame.z, frame.y, frame.x), center_zyx, radii_zyx, strict=True)
    ]
    r = np.sqrt(terms[0] + terms[1] + terms[2])
    return np.asarray((r - 1) * np.float32(np.prod(radii_zyx) ** (1 / 3)), dtype=np.float32)


def tube(frame: Frame, start_zyx: Point, end_zyx: Point, radii_mm: tuple[float, float]) -> Field:
    """A straight tube with round ends whose radius goes from ``radii_mm[0]`` to ``radii_mm[1]``."""
    axis = np.subtract(end_zyx, start_zyx).astype(np.float32)
    dz, dy, dx = frame.z - start_zyx[0], frame.y - start_zyx[1], frame.x - start_zyx[2]
    t = np.clip((dz * axis[0] + dy * axis[1] + dx * axis[2]) / np.float32(axis @ axis), 0, 1)
    distance = np.sqrt((dz - t * axis[0]) ** 2 + (dy - t * axis[1]) ** 2 + (dx - t * axis[2]) ** 2)
    return np.asarray(distance - (radii_mm[0] + t * (radii_mm[1] - radii_mm[0])), dtype=np.float32)


def tube_box(frame: Frame, start_zyx: Point, end_zyx: Point, reach_mm: float) -> Box:
    """The box that holds a tube and ``reach_mm`` around its axis."""
    return frame.box(np.minimum(start_zyx, end_zyx) - reach_mm, np.maximum(start_zyx, end_zyx) + reach_mm)


def plane_waves(frame: Frame, rng: np.random.Generator, wavelength_mm: float, waves: int = 28) -> Field:
    """A smooth random field of zero mean and unit variance: a sum of plane waves in random directions.

    It is defined in millimetres, so the same generator state gives the same field at any voxel size. The separable
    complex exponentials make it one matrix product, in float64 so that the rounding of one CPU's matrix kernels or
    another's does not reach the result.
    """
    direction = rng.standard_normal((waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    k = direction * (2 * np.pi / (wavelength_mm * np.exp(rng.uniform(-0.4, 0.4, (waves, 1)))))
    phase = rng.uniform(0, 2 * np.pi, waves)
    e_z = np.exp(1j * (frame.z_D[:, None] * k[:, 0] + phase))
    e_y, e_x = np.exp(1j * frame.y_H[:, None] * k[:, 1]), np.exp(1j * frame.x_W[:, None] * k[:, 2])
    rows = (e_z[:, None, :] * e_y[None]).reshape(-1, waves)
    left = np.concatenate([rows.real, -rows.imag], axis=1)
    right = np.concatenate([e_x.real, e_x.imag], axis=1)
    field = (left @ right.T * np.sqrt(2 / waves)).reshape(frame.shape)
    return np.asarray(field, dtype=np.float32)


def inside(distance: Field, edge_mm: float) -> Field:
    """Partial-volume weight in 0…1 of a field: one half on the surface, a linear ramp of ``edge_mm`` across it."""
    weight = distance * np.float32(-1 / edge_mm)
    weight += np.float32(0.5)
    return np.clip(weight, 0, 1, out=weight)


def paint(hu_DHW: Field, distance: Field, value: Field | float, edge_mm: float) -> None:
    """Blend ``value`` into ``hu_DHW`` inside a field, in place."""
    weight = inside(distance, edge_mm)
    weight *= value - hu_DHW
    hu_DHW += weight


def paint_box(
    hu_DHW: Field, frame: Frame, box: Box, shape: Callable[[Frame], Field], value: float, edge_mm: float
) -> None:
    """As :func:`paint`, for a shape that lies within a box."""
    part = frame.crop(box)
    if all(part.shape):
        paint(hu_DHW[box], shape(part), value, edge_mm)


def paint_tube(
    hu_DHW: Field, frame: Frame, ends: tuple[Point, Point], radii_mm: tuple[float, float], value: float, edge_mm: float
) -> None:
    """Blend a straight tube (see :func:`tube`) into ``hu_DHW``, in place."""
    box = tube_box(frame, *ends, max(radii_mm) + edge_mm)
    paint_box(hu_DHW, frame, box, lambda part: tube(part, *ends, radii_mm), value, edge_mm)
