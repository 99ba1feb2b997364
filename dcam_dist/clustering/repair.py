"""Refill empty clusters as DeepCluster does: split a populous one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.model import Floats

PERTURBATION = 1.0 / 1024.0  # of each coordinate, multiplicatively, up for one copy and down for the other

Sizes = NDArray[np.int64]


def repair_empty_clusters(centroid_KP: Floats, sizes_of: Callable[[Floats], Sizes]) -> tuple[Floats, Sizes, int]:
    """Give every empty cluster a perturbed copy of a populous one's centroid.

    The most populous cluster that the perturbation parts is split. Where it parts none (identical rows), the cluster
    stays empty.

    Args:
        centroid_KP: Centroids, some of which may be nearest to no point.
        sizes_of: How many points, of all ranks, are nearest to each of some centroids.

    Returns:
        Centroids, points of each cluster, and the number of clusters refilled.
    """
    centroids, size_K, repaired = centroid_KP, sizes_of(centroid_KP), 0
    for empty in np.flatnonzero(size_K == 0):
        for populous in np.argsort(-size_K, kind="stable")[: int((size_K > 1).sum())]:
            trial = _split(centroids, int(empty), int(populous))
            trial_size_K = sizes_of(trial)
            if np.count_nonzero(trial_size_K) > np.count_nonzero(size_K):
                centroids, size_K, repaired = trial, trial_size_K, repaired + 1
                break
    return centroids, size_K, repaired


def _split(centroid_KP: Floats, empty: int, populous: int) -> Floats:
    split = centroid_KP.copy()
    split[empty] = centroid_KP[populous] * (1 + PERTURBATION)
    split[populous] = centroid_KP[populous] * (1 - PERTURBATION)
    return split
