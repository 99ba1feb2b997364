"""Deletion and insertion: what becomes of a class's score when the voxels that a map points at become normal lung."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
"""The scores that are followed, by place."""
Score = Callable[[Floats], Scores]
"""From a volume on the training grid."""

STEPS = 9
BLOCK_VOXELS = 2
"""Voxels along each edge of the blocks that are replaced, about a centimetre on a 5 mm grid: maps of different
resolutions are then asked the same question, and single-voxel speckle, which no scan shows, is rarer."""
BLUR_VOXELS = 4.0


@dataclass(frozen=True, eq=False)
class Curves:
    """Scores along the way, (steps, scores).

    Attributes:
        deletion_SM: With this share of the lungs replaced, the most important first.
        insertion_SM: With all but this share replaced.
    """

    deletion_SM: Scores
    insertion_SM: Scores

    def areas(self) -> tuple[Scores, Scores]:
        """Mean score along each curve (trapezoids over 0…1): a faithful map has a small first and a large second."""
        return _area(self.deletion_SM), _area(self.insertion_SM)


@dataclass(frozen=True, eq=False)
class Perturbation:
    """One scan and what its voxels are replaced by; every map of it shares the two ends of the curves.

    Attributes:
        volume_DHW: 0…1, on the training grid.
        replaced_DHW: The same with all of the lungs replaced.
        lung_mask_DHW: bool.
        seed: Of the order among blocks of the same importance.
        score: Of a volume.
        whole_M: Score of the volume.
        empty_M: Score with all replaced.
    """

    volume_DHW: Floats
    replaced_DHW: Floats
    lung_mask_DHW: NDArray[np.bool_]
    seed: int
    score: Score
    whole_M: Scores
    empty_M: Scores


def perturbation(
    volume_DHW: Floats,
    replacement_DHW: Floats,
    lung_mask_DHW: NDArray[np.bool_],
    score: Score,
    whole_M: Scores,
    *,
    seed: int,
) -> Perturbation:
    """Score the end where all of the lungs is replaced.

    Args:
        volume_DHW: 0…1.
        replacement_DHW: Its values for the lungs; outside of them the volume stays.
        lung_mask_DHW: bool.
        score: Of a volume.
        whole_M: Score of the volume as it is.
        seed: Of the order among blocks of the same importance.
    """
    replaced = np.where(lung_mask_DHW, replacement_DHW, volume_DHW).astype(np.float32)
    return Perturbation(volume_DHW, replaced, lung_mask_DHW, seed, score, whole_M, score(replaced))


def perturbation_curves(at: Perturbation, map_DHW: Floats, *, steps: int = STEPS, block: int = BLOCK_VOXELS) -> Curves:
    """Follow the scores while lung voxels are replaced block by block in a map's order (after Petsiuk 2018, BMVC).

    Args:
        at: The scan.
        map_DHW: The map; a block's place goes by the mean over its lung voxels, the highest first. One that does not
            vary has no order, and is not to be asked for it.
        steps: Points of each curve, both ends included.
        block: Voxels along each edge of a block; 1: voxel by voxel.
    """
    place_DHW = importance(map_DHW, at.lung_mask_DHW, block, seed=at.seed)
    deletion, insertion = [at.whole_M], [at.empty_M]
    for share in np.linspace(0, 1, steps)[1:-1]:
        first = at.lung_mask_DHW & (place_DHW < share)
        deletion.append(at.score(np.where(first, at.replaced_DHW, at.volume_DHW)))
        insertion.append(at.score(np.where(first, at.volume_DHW, at.replaced_DHW)))
    return Curves(np.array([*deletion, at.empty_M]), np.array([*insertion, at.whole_M]))


def importance(
    map_DHW: Floats, lung_mask_DHW: NDArray[np.bool_], block: int = BLOCK_VOXELS, *, seed: int
) -> NDArray[np.float64]:
    """The share of the lungs that comes before each voxel's block, 0…1, in the order of a map; 1 outside the lungs.

    Blocks of the same importance come in an order at random: in that of their places, a map that is 0 nearly everywhere
    would take the lungs away from the top downwards.
    """
    blocks_N = _block_of(lung_mask_DHW.shape, block)[lung_mask_DHW]
    size_M = np.bincount(blocks_N)
    total_M = np.bincount(blocks_N, map_DHW[lung_mask_DHW].astype(np.float64))
    held = np.flatnonzero(size_M)
    shuffled = np.random.default_rng(seed).permutation(held)
    order = shuffled[np.argsort(-total_M[shuffled] / size_M[shuffled], kind="stable")]
    before_M = np.zeros(size_M.size)
    # by the middle of a block, so that a share is met as nearly as whole blocks allow
    before_M[order] = (np.cumsum(size_M[order]) - size_M[order] / 2) / blocks_N.size
    place_DHW = np.ones(lung_mask_DHW.shape)
    place_DHW[lung_mask_DHW] = before_M[blocks_N]
    return place_DHW


def replacements(volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_], normal: float) -> Mapping[str, Floats]:
    """What the lungs are replaced by.

    Args:
        volume_DHW: 0…1.
        lung_mask_DHW: bool.
        normal: The value of normal lung.

    Returns:
        ``normal``: this value. ``blurred``: the scan's own lungs, smoothed over about four voxels each way: their mean
        density stays, their texture goes.
    """
    weight = gaussian_filter(lung_mask_DHW.astype(np.float64), BLUR_VOXELS)
    smooth = gaussian_filter(np.where(lung_mask_DHW, volume_DHW, 0).astype(np.float64), BLUR_VOXELS)
    blurred = np.divide(smooth, weight, out=np.zeros_like(smooth), where=lung_mask_DHW)
    return {"normal": np.full(volume_DHW.shape, normal, np.float32), "blurred": blurred.astype(np.float32)}


def _area(curve_SM: Scores) -> Scores:
    area_M: Scores = ((curve_SM[1:] + curve_SM[:-1]) / 2).mean(axis=0)
    return area_M


def _block_of(shape: tuple[int, ...], block: int) -> NDArray[np.int64]:
    z, y, x = (np.arange(size) // block for size in shape)
    rows, columns = int(y[-1]) + 1, int(x[-1]) + 1
    number: NDArray[np.int64] = (z[:, None, None] * rows + y[:, None]) * columns + x
    return number
