"""Planes through a case: the CT, the lungs and the maps, cut out at the scan's resolution and turned for the reader."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import crop_geometry, resample, to_sitk
from dcam_dist.maps.compute import Floats, softmax
from dcam_dist.maps.scene import Scene
from dcam_dist.types import CaseRecord

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")

# At the apices and along the diaphragm a slice holds a few voxels of lung, whose mean says little.
SMALLEST_SHARE = 0.75


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane in the radiological convention: as if seen from the patient's feet, front or left side.

    Rows run from anterior to posterior (axial) or from superior to inferior; columns from the patient's right to the
    left (axial, coronal) or from anterior to posterior (sagittal).

    Attributes:
        hu_RC: int16.
        lungs_RC: bool.
        probability_KRC: Softmax over the maps in each pixel.
        winner_RC: 0-based class whose map is largest.
        size_mm: Height and width.
    """

    hu_RC: NDArray[np.int16]
    lungs_RC: NDArray[np.bool_]
    probability_KRC: Floats
    winner_RC: NDArray[np.int64]
    size_mm: tuple[float, float]


def cut(scene: Scene, plane: Plane, index: int) -> Slice:
    """Cut one plane out of a case, the maps resampled linearly as in the exported files.

    Args:
        scene: The case.
        plane: Which one.
        index: Slice, row or column of the native crop.
    """
    record, axis = scene.mapped.record, PLANES.index(plane)
    logits_KRC = sample_plane(scene.mapped.maps.dense_KDHW, record, plane, index)
    shape = list(record.native.shape)
    height, width = (size * step for size, step in zip(_other(shape, axis), _spacing(scene, axis), strict=True))
    return Slice(
        hu_RC=_upright(np.moveaxis(scene.hu_DHW, axis, 0)[index], plane),
        lungs_RC=_upright(np.moveaxis(scene.lungs_DHW, axis, 0)[index], plane),
        probability_KRC=softmax(logits_KRC),
        winner_RC=logits_KRC.argmax(axis=0),
        size_mm=(height, width),
    )


def sample_plane(values_KDHW: Floats, record: CaseRecord, plane: Plane, index: int) -> Floats:
    """Volumes on the training grid in one plane of the native crop, linear, turned as in ``Slice``: (K, R, C).

    Args:
        values_KDHW: float32, volumes on the training grid.
        record: The case.
        plane: Which one.
        index: Slice, row or column of the native crop.
    """
    axis = PLANES.index(plane)
    start, shape = [0, 0, 0], list(record.native.shape)
    start[axis], shape[axis] = index, 1
    thin = crop_geometry(record.native, (start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    sampled = [
        resample(to_sitk(values, record.grid), thin, interpolation="linear", outside=0).squeeze(axis)
        for values in values_KDHW
    ]
    return _upright(np.stack(sampled), plane)


def strongest_slice(scene: Scene, plane: Plane, class_id: int) -> int:
    """The slice of the native crop in which the lungs' mean probability of a class is highest.

    Slices with little lung (below ``SMALLEST_SHARE`` of the largest) do not count.
    """
    mapped, axis = scene.mapped, PLANES.index(plane)
    others = tuple(other for other in range(3) if other != axis)
    area = mapped.lung_mask_DHW.sum(axis=others)
    strength = (softmax(mapped.maps.dense_KDHW)[class_id] * mapped.lung_mask_DHW).sum(axis=others)
    eligible = area >= SMALLEST_SHARE * area.max()
    index = int(np.where(eligible, strength / np.maximum(area, 1), -1.0).argmax())
    return native_index(mapped.record, axis, index)


def native_index(record: CaseRecord, axis: int, grid_index: int) -> int:
    """The slice of the native crop that is nearest to one of the training grid, along an axis of (z, y, x)."""
    middle_zyx = [(size - 1) / 2 for size in record.grid.shape]
    middle_zyx[axis] = grid_index
    world = record.grid.matrix @ np.array([*middle_zyx[::-1], 1.0])
    native_zyx = np.linalg.solve(record.native.matrix, world)[2::-1]
    return int(np.clip(round(native_zyx[axis]), 0, record.native.shape[axis] - 1))


def _upright(plane_RC: NDArray[Any], plane: Plane) -> NDArray[Any]:
    return plane_RC if plane == "axial" else plane_RC[..., ::-1, :]


def _other(values: list[int], axis: int) -> list[int]:
    return [value for index, value in enumerate(values) if index != axis]


def _spacing(scene: Scene, axis: int) -> list[float]:
    return [step for index, step in enumerate(scene.mapped.record.native.spacing_mm) if index != axis]
