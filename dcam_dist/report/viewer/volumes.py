"""What the viewer shows of a case, small enough for a page: the CT and the probability of each class in the lungs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import resample, to_sitk
from dcam_dist.errors import UsageError
from dcam_dist.maps.compute import softmax
from dcam_dist.maps.slices import SMALLEST_SHARE
from dcam_dist.report.viewer.case import ViewerCase
from dcam_dist.report.viewer.nifti import nifti_gz
from dcam_dist.types import Geometry

FINEST_MM = 2.0
"""Finer voxels are more than a browser's window shows of a whole chest, and eight times the bytes at half the size."""
COARSEST_MM = 32.0
HU_FLOOR, HU_STEP = -1035.0, 5.0  # to 240 HU in 255 steps: from air to the upper end of the soft-tissue window
PROBABILITY_STEPS = 254  # 0 is kept for what lies outside the lungs
# Rough sizes in base64, from phantoms: a byte a voxel for the CT, and for each class an eighth of one. Only the first
# guess depends on them; what is made is measured.
_CT_COST, _MAP_COST = 1.0, 0.12


@dataclass(frozen=True, eq=False)
class Volumes:
    """A case as it is embedded.

    Attributes:
        geometry: Of the small volumes, canonical axes.
        ct: Gzipped NIfTI, uint8: HU from ``HU_FLOOR`` in steps of ``HU_STEP``.
        maps: Gzipped NIfTI, uint8, one volume a class: 0 outside the lungs, else 1 + 254 times the probability.
        winner: Gzipped NIfTI, uint8: 0 outside the lungs, else 1 for the first class …: the map largest there.
        start_xyz: A voxel of the lungs where the case's own class is strong, as an index of the files.
    """

    geometry: Geometry
    ct: bytes
    maps: bytes
    winner: bytes
    start_xyz: tuple[int, int, int]

    @property
    def base64_bytes(self) -> int:
        """What they take in a page."""
        return sum(4 * -(-len(content) // 3) for content in self.files)

    @property
    def files(self) -> tuple[bytes, bytes, bytes]:
        """CT, maps and winner."""
        return self.ct, self.maps, self.winner


def fit_volumes(cases: Sequence[ViewerCase], budget_bytes: int) -> list[Volumes]:
    """The cases' volumes, as fine as the budget allows.

    Voxels are whole blocks of the scan's, near to cubes of one size for all cases, and no finer than ``FINEST_MM`` or
    than the scan itself.

    Raises:
        UsageError: When there are no cases, or they do not fit at ``COARSEST_MM`` either.
    """
    if not cases:
        raise UsageError("the viewer: there is no case to show; name at least one")
    spacing_mm = max(FINEST_MM, _first_guess(cases, budget_bytes))
    while spacing_mm <= COARSEST_MM:
        made = [shrink(case, spacing_mm) for case in cases]
        size = sum(volumes.base64_bytes for volumes in made)
        if size <= budget_bytes:
            return made
        spacing_mm *= max(1.04, (size / budget_bytes) ** (1 / 3))
    raise UsageError(
        f"the viewer: {len(cases)} cases do not fit in {budget_bytes / 1e6:.1f} MB; show fewer, or raise the budget"
    )


def shrink(case: ViewerCase, spacing_mm: float) -> Volumes:
    """The volumes of one case with voxels of about the given size, in mm."""
    factors = [max(1, round(spacing_mm / step)) for step in case.native.spacing_mm]
    factors = [min(factor, size) for factor, size in zip(factors, case.native.shape, strict=True)]
    geometry = _coarser(case.native, factors)
    hu_DHW = _block_means(case.hu_DHW, factors)
    lungs_DHW = _block_means(case.lungs_DHW, factors) >= 0.5
    maps_KDHW, winner_DHW = _probabilities(case, geometry, lungs_DHW)
    stored_hu = np.clip(np.rint((hu_DHW - HU_FLOOR) / HU_STEP), 0, 255).astype(np.uint8)
    return Volumes(
        geometry,
        nifti_gz(stored_hu, geometry, slope=HU_STEP, intercept=HU_FLOOR),
        nifti_gz(maps_KDHW, geometry, slope=1 / PROBABILITY_STEPS, intercept=-1 / PROBABILITY_STEPS),
        nifti_gz(winner_DHW, geometry, slope=1, intercept=0),
        _start(maps_KDHW[case.cluster]),
    )


def _first_guess(cases: Sequence[ViewerCase], budget_bytes: int) -> float:
    cost = sum(
        1000 * case.native.voxel_ml * case.hu_DHW.size * (_CT_COST + _MAP_COST * len(case.dense_KDHW)) for case in cases
    )
    return min(COARSEST_MM, float((cost / max(1, budget_bytes)) ** (1 / 3)))


def _coarser(geometry: Geometry, factors: Sequence[int]) -> Geometry:
    matrix = geometry.matrix
    for axis, factor in enumerate(reversed(factors)):
        matrix[:3, 3] += (factor - 1) / 2 * matrix[:3, axis]
    for axis, factor in enumerate(reversed(factors)):
        matrix[:3, axis] *= factor
    return Geometry.from_matrix(
        tuple(size // factor for size, factor in zip(geometry.shape, factors, strict=True)), matrix
    )


def _block_means(values_DHW: NDArray[np.int16] | NDArray[np.bool_], factors: Sequence[int]) -> NDArray[np.float32]:
    """Means over whole blocks; what is left over at the far ends is dropped."""
    whole = tuple(slice(size // factor * factor) for size, factor in zip(values_DHW.shape, factors, strict=True))
    blocks = [part for size, f in zip(values_DHW.shape, factors, strict=True) for part in (size // f, f)]
    means: NDArray[np.float32] = values_DHW[whole].reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
    return means


def _probabilities(
    case: ViewerCase, geometry: Geometry, lungs_DHW: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Each class's probability and the winner, as they are stored: (K, D, H, W) and (D, H, W)."""
    logits_KN = np.stack(
        [
            resample(to_sitk(dense, case.grid), geometry, interpolation="linear", outside=0)[lungs_DHW]
            for dense in case.dense_KDHW
        ]
    )
    stored = np.zeros((len(logits_KN), *geometry.shape), dtype=np.uint8)
    stored[:, lungs_DHW] = 1 + np.rint(PROBABILITY_STEPS * softmax(logits_KN)).astype(np.uint8)
    winner = np.zeros(geometry.shape, dtype=np.uint8)
    winner[lungs_DHW] = 1 + logits_KN.argmax(axis=0)
    return stored, winner


def _start(own_DHW: NDArray[np.uint8]) -> tuple[int, int, int]:
    """In the slice and the sagittal plane where the class is strongest, the middle of the lung."""
    z = _strongest(own_DHW, axis=0)
    x = _strongest(own_DHW[z], axis=1)
    inside = np.flatnonzero(own_DHW[z, :, x])
    y = int(inside[len(inside) // 2]) if inside.size else own_DHW.shape[1] // 2
    return own_DHW.shape[2] - 1 - x, own_DHW.shape[1] - 1 - y, z


def _strongest(values: NDArray[np.uint8], axis: int) -> int:
    others = tuple(other for other in range(values.ndim) if other != axis)
    area = (values > 0).sum(axis=others)
    strength = values.sum(axis=others, dtype=np.int64) / np.maximum(area, 1)
    return int(np.where(area >= SMALLEST_SHARE * area.max(), strength, -1.0).argmax())
