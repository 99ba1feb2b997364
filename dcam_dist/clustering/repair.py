"""Refill empty clusters as DeepCluster does: split a populous one."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.model import Floats, nearest

PERTURBATION = 1.0 / 1024.0  # of each coordinate, multiplicatively, up for one copy and down for the other


def repair_empty_clusters(points_NP: Floats, centroid_KP: Floats) -> tuple[Floats, NDArray[np.int64], int]:
    """Assign points, and give every empty cluster a perturbed copy of a populous one's centroid.

    The most populous cluster that the perturbation parts is split. Where it parts none (identical rows), the cluster
    stays empty.

    Args:
        points_NP: Points of the clustering space.
        centroid_KP: Centroids, some of which may be nearest to no point.

    Returns:
        Centroids, nearest centroid of each point, and the number of clusters refilled.
    """
    centroids, label_N, repaired = centroid_KP, nearest(points_NP, centroid_KP), 0
    for empty in np.flatnonzero(_sizes(label_N, centroids) == 0):
        for populous in np.argsort(-_sizes(label_N, centroids), kind="stable"):
            trial = _split(centroids, int(empty), int(populous))
            trial_label_N = nearest(points_NP, trial)
            if _occupied(trial_label_N) > _occupied(label_N):
                centroids, label_N, repaired = trial, trial_label_N, repaired + 1
                break
    return centroids, label_N, repaired


def _split(centroid_KP: Floats, empty: int, populous: int) -> Floats:
    split = centroid_KP.copy()
    split[empty] = centroid_KP[populous] * (1 + PERTURBATION)
    split[populous] = centroid_KP[populous] * (1 - PERTURBATION)
    return split


def _sizes(label_N: NDArray[np.int64], centroid_KP: Floats) -> NDArray[np.int64]:
    return np.bincount(label_N, minlength=len(centroid_KP))


def _occupied(label_N: NDArray[np.int64]) -> int:
    return len(np.unique(label_N))
