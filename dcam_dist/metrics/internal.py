"""Internal validity of a clustering: from the points alone, no labels.

All scores depend on the space of the points (whitening, for one, ruins them): name it wherever they are shown.
Cases without a cluster are left out; clusters without a case do not count.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.metrics.ids import Ids, checked_ids, checked_pair
from dcam_dist.types import UNASSIGNED

Points = NDArray[np.floating[Any]]


def silhouette(points_NP: Points, cluster_N: Ids, *, max_cases: int, seed: int) -> float:
    """Mean over the cases of (b − a) / max(a, b) (Rousseeuw 1987, J. Comput. Appl. Math. 20:53).

    a is a case's mean distance to its own cluster, b that to the nearest other one; a cluster of one scores 0.

    Args:
        points_NP: The cases in the space that was clustered.
        cluster_N: Their clusters.
        max_cases: Above this many cases a random sample of this size is scored: memory and time grow with its square.
        seed: Of the sample.

    Returns:
        −1 to 1; NaN with fewer than two clusters, or no more cases than clusters.

    Raises:
        ValueError: On tables of different lengths or a point that is not finite.
    """
    from sklearn.metrics import silhouette_score

    points, cluster = _assigned(points_NP, cluster_N)
    if len(points) > max_cases:
        drawn = np.random.default_rng(seed).choice(len(points), size=max_cases, replace=False)
        points, cluster = points[drawn], cluster[drawn]
    clusters = len(np.unique(cluster))
    return float(silhouette_score(points, cluster)) if 2 <= clusters < len(points) else float("nan")


def davies_bouldin(points_NP: Points, cluster_N: Ids) -> float:
    """Mean over the clusters i of max_j (s_i + s_j) / d_ij (Davies & Bouldin 1979, IEEE TPAMI 1:224).

    s is the mean distance of a cluster's cases to their centroid, d the distance between two centroids. Smaller is
    better.

    Args:
        points_NP: The cases in the space that was clustered.
        cluster_N: Their clusters.

    Returns:
        0 or more; NaN with fewer than two clusters. Coincident centroids give infinity (scikit-learn passes over such
        pairs, so that two clusters in the same place score best).

    Raises:
        ValueError: On tables of different lengths or a point that is not finite.
    """
    count_K, centroid_KP, distance_N, cluster_N = _about_centroids(points_NP, cluster_N)
    spread_K = np.bincount(cluster_N, weights=distance_N, minlength=len(count_K)) / count_K
    return davies_bouldin_of(centroid_KP, spread_K)


def davies_bouldin_of(centroid_KP: NDArray[np.float64], spread_K: NDArray[np.float64]) -> float:
    """`davies_bouldin` from the clusters that have a case.

    Args:
        centroid_KP: Their means.
        spread_K: Mean distance of their cases to these.
    """
    if len(centroid_KP) < 2:
        return float("nan")
    distance_KK = np.linalg.norm(centroid_KP[:, None] - centroid_KP, axis=2)
    spread_KK = spread_K[:, None] + spread_K
    ratio_KK = np.divide(spread_KK, distance_KK, out=np.full_like(spread_KK, np.inf), where=distance_KK > 0)
    np.fill_diagonal(ratio_KK, -np.inf)
    return float(ratio_KK.max(axis=1).mean())


def calinski_harabasz(points_NP: Points, cluster_N: Ids) -> float:
    """(B / (K − 1)) / (W / (N − K)) (Caliński & Harabasz 1974, Comm. Statist. 3:1).

    B is the sum of squared distances of the clusters' centroids to the mean of all cases, each as often as it has
    cases, W that of the cases to their centroids. Larger is better; it has no upper bound.

    Args:
        points_NP: The cases in the space that was clustered.
        cluster_N: Their clusters.

    Returns:
        0 or more; NaN with fewer than two clusters, or no more cases than clusters. 0 where all centroids coincide;
        else infinity where every case lies on its centroid (scikit-learn gives 1).

    Raises:
        ValueError: On tables of different lengths or a point that is not finite.
    """
    count_K, centroid_KP, distance_N, _ = _about_centroids(points_NP, cluster_N)
    return calinski_harabasz_of(count_K, centroid_KP, float(np.square(distance_N).sum()))


def calinski_harabasz_of(count_K: NDArray[np.int64], centroid_KP: NDArray[np.float64], within: float) -> float:
    """`calinski_harabasz` from the clusters that have a case.

    Args:
        count_K: Their cases.
        centroid_KP: Their means.
        within: Sum of squared distances of all cases to these.
    """
    cases, clusters = int(count_K.sum()), len(count_K)
    if not 2 <= clusters < cases:
        return float("nan")
    from_mean_KP = centroid_KP - count_K @ centroid_KP / cases
    between = float(count_K @ np.square(from_mean_KP).sum(axis=1))
    if not within:
        return float("inf") if between else 0.0
    return between / (clusters - 1) / (within / (cases - clusters))


def _about_centroids(
    points_NP: Points, cluster_N: Ids
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Cases and centroid of each cluster that has some; each case's distance to its centroid, and which it is."""
    points, cluster = _assigned(points_NP, cluster_N)
    _, of_N, count_K = np.unique(cluster, return_inverse=True, return_counts=True)
    sum_KP = np.zeros((len(count_K), points.shape[1]))
    np.add.at(sum_KP, of_N, points)
    centroid_KP = sum_KP / count_K[:, None]
    return count_K.astype(np.int64), centroid_KP, np.linalg.norm(points - centroid_KP[of_N], axis=1), of_N


def _assigned(points_NP: Points, cluster_N: Ids) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    checked_pair(points_NP, cluster_N)
    cluster = checked_ids(cluster_N, None, "cluster")
    points = np.asarray(points_NP, dtype=np.float64)[cluster != UNASSIGNED]
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError("points must be finite and of shape (cases, components)")
    return points, cluster[cluster != UNASSIGNED]
