"""Refill empty clusters as DeepCluster does: split a populous one."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.model import Floats, nearest

PERTURBATION = 1.0 / 1024.0  # of each coordinate, multiplicatively, up for one copy and down for the other


def repair_empty_clusters(points_NP: Floats, centroid_KP: Floats) -> tuple[Floats, NDArray[np.int64], int]:
    """Assign points, and give every empty cluster a perturbed copy of the most populous one's centroid.

    Where the perturbation parts no point (identical rows), the cluster stays empty.

    Args:
        points_NP: Points of the clustering space.
        centroid_KP: Centroids, some of which may be nearest to no point.

    Returns:
        Centroids, nearest centroid of each point, and the number of clusters refilled.
    """
    centroids = centroid_KP.copy()
    label_N = nearest(points_NP, centroids)
    repaired = 0
    for empty in np.flatnonzero(np.bincount(label_N, minlength=len(centroids)) == 0):
        populous = int(np.bincount(label_N, minlength=len(centroids)).argmax())
        trial = centroids.copy()
        trial[empty] = centroids[populous] * (1 + PERTURBATION)
        trial[populous] = centroids[populous] * (1 - PERTURBATION)
        trial_label_N = nearest(points_NP, trial)
        if (trial_label_N == empty).any() and (trial_label_N == populous).any():
            centroids, label_N, repaired = trial, trial_label_N, repaired + 1
    return centroids, label_N, repaired
