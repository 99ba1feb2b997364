"""Scores of a voxel against lesion masks, from counts alone: so many voxels need not be in memory.

A count has two columns: voxels without and with a lesion.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
LOWEST_HU, HU_LEVELS = -1100, 1400
RATIO_LEVELS = 1000


@dataclass(frozen=True, eq=False)
class LesionCounts:
    """Lung voxels of some scans by what is known of each.

    Attributes:
        pattern_K2: By pattern.
        nearness_KM2: For each pattern by how much nearer its centroid is than the next other one, in ``RATIO_LEVELS``
            equal steps of d_other / (d_own + d_other), rising.
        grid_hu_M2: By HU on the training grid, from ``LOWEST_HU``; values beyond either end count at the end.
        native_hu_M2: By HU at the scan's own resolution.
    """

    pattern_K2: Counts
    nearness_KM2: Counts
    grid_hu_M2: Counts
    native_hu_M2: Counts

    @classmethod
    def none(cls, patterns: int) -> "LesionCounts":
        """Of no voxels."""
        hu = np.zeros((HU_LEVELS, 2))
        return cls(np.zeros((patterns, 2)), np.zeros((patterns, RATIO_LEVELS, 2)), hu, hu.copy())

    def add_patterns(self, distance_NK: NDArray[np.float32], lesion_N: NDArray[np.bool_]) -> None:
        """Add voxels by their distances to the patterns' centroids."""
        patterns = distance_NK.shape[1]
        two_N2 = np.partition(distance_NK, 1, axis=1)[:, :2]
        label_N = distance_NK.argmin(axis=1)
        self.pattern_K2[...] += table_of(label_N, lesion_N, patterns)
        for pattern in range(patterns):
            own_N = distance_NK[:, pattern]
            other_N = np.where(label_N == pattern, two_N2[:, 1], two_N2[:, 0])
            level_N = (RATIO_LEVELS * other_N / np.maximum(own_N + other_N, 1e-12)).astype(np.int64)
            self.nearness_KM2[pattern] += table_of(level_N, lesion_N, RATIO_LEVELS)

    def add_hu(self, hu_N: NDArray[np.int16], lesion_N: NDArray[np.bool_], *, native: bool) -> None:
        """Add voxels by their HU."""
        counts = self.native_hu_M2 if native else self.grid_hu_M2
        counts += table_of(hu_N.astype(np.int64) - LOWEST_HU, lesion_N, HU_LEVELS)


def table_of(level_N: NDArray[np.int64], lesion_N: NDArray[np.bool_], levels: int) -> Counts:
    """Counts by level; levels beyond either end count there."""
    flat_N = 2 * level_N.clip(0, levels - 1) + lesion_N
    return np.bincount(flat_N, minlength=2 * levels).reshape(levels, 2).astype(np.float64)


def dice(chosen_2: Counts, all_2: Counts) -> float:
    """2·|chosen ∩ lesion| / (|chosen| + |lesion|), from the counts of what was chosen and of all."""
    return float(2 * chosen_2[1] / max(1.0, chosen_2.sum() + all_2[1]))


def average_precision(count_M2: Counts) -> float:
    """Area under precision over recall, Σ (R_i − R_{i−1})·P_i, the last level the most suspicious (scikit-learn's)."""
    falling_M2 = count_M2[::-1][count_M2[::-1].sum(axis=1) > 0].cumsum(axis=0)
    if not len(falling_M2) or not falling_M2[-1, 1]:
        return float("nan")
    precision_M = falling_M2[:, 1] / falling_M2.sum(axis=1)
    return float((np.diff(falling_M2[:, 1], prepend=0) / falling_M2[-1, 1] * precision_M).sum())


def best_pattern(train_K2: Counts) -> int:
    """The pattern with the highest Dice."""
    return int(np.argmax([dice(pattern_2, train_K2.sum(axis=0)) for pattern_2 in train_K2]))


def by_lesion_rate(train_K2: Counts) -> NDArray[np.int64]:
    """The patterns by rising share of their voxels that have a lesion."""
    return np.argsort(train_K2[:, 1] / np.maximum(1, train_K2.sum(axis=1)), kind="stable")


def best_prefix(train_M2: Counts) -> int:
    """How many of the last levels together have the highest Dice."""
    below = train_M2[::-1].cumsum(axis=0)
    return int(np.argmax([dice(chosen_2, below[-1]) for chosen_2 in below])) + 1


def of_last(count_M2: Counts, levels: int) -> float:
    """Dice of the last levels together."""
    return dice(count_M2[len(count_M2) - levels :].sum(axis=0), count_M2.sum(axis=0))


def scores(train: LesionCounts, test: LesionCounts) -> dict[str, float]:
    """Every score on the test scans of what was chosen on the training scans."""
    best, order_K = best_pattern(train.pattern_K2), by_lesion_rate(train.pattern_K2)
    ordered, ordered_test = train.pattern_K2[order_K], test.pattern_K2[order_K]
    found = {
        "lesion_share": float(test.pattern_K2[:, 1].sum() / test.pattern_K2.sum()),
        "dice_best_pattern": dice(test.pattern_K2[best], test.pattern_K2.sum(axis=0)),
        "auprc_best_pattern": average_precision(test.nearness_KM2[best]),
        "dice_best_patterns": of_last(ordered_test, best_prefix(ordered)),
        "auprc_lesion_rates": average_precision(ordered_test),
        "best_patterns": float(best_prefix(ordered)),
    }
    for name in ("grid", "native"):
        train_hu, test_hu = (getattr(counts, f"{name}_hu_M2")[::-1] for counts in (train, test))  # the darkest last
        found |= {
            f"dice_950_{name}": of_last(test_hu, -950 - LOWEST_HU),
            f"dice_tuned_{name}": of_last(test_hu, best_prefix(train_hu)),
            f"auprc_hu_{name}": average_precision(test_hu),
            f"tuned_hu_{name}": float(LOWEST_HU + best_prefix(train_hu)),
            f"lesion_share_{name}": float(test_hu[:, 1].sum() / test_hu.sum()),
        }
    return found
