"""Internal validity of a clustering: from the points alone, no labels.

Both scores depend on the space of the points (whitening, for one, ruins them): name it wherever they are shown.
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
    points, cluster = _assigned(points_NP, cluster_N)
    members = [points[cluster == k] for k in np.unique(cluster)]
    if len(members) < 2:
        return float("nan")
    centroid_KP = np.stack([rows.mean(axis=0) for rows in members])
    spread_K = np.array(
        [np.linalg.norm(rows - centre, axis=1).mean() for rows, centre in zip(members, centroid_KP, strict=True)]
    )
    distance_KK = np.linalg.norm(centroid_KP[:, None] - centroid_KP, axis=2)
    spread_KK = spread_K[:, None] + spread_K
    ratio_KK = np.divide(spread_KK, distance_KK, out=np.full_like(spread_KK, np.inf), where=distance_KK > 0)
    np.fill_diagonal(ratio_KK, -np.inf)
    return float(ratio_KK.max(axis=1).mean())


def _assigned(points_NP: Points, cluster_N: Ids) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    checked_pair(points_NP, cluster_N)
    cluster = checked_ids(cluster_N, None, "cluster")
    points = np.asarray(points_NP, dtype=np.float64)[cluster != UNASSIGNED]
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError("points must be finite and of shape (cases, components)")
    return points, cluster[cluster != UNASSIGNED]
