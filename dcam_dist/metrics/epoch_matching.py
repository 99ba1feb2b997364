"""Cluster ids that keep their meaning from one clustering to the next."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.metrics.agreement import contingency, match_contingency
from dcam_dist.metrics.ids import Ids, apply_mapping


def match_to_previous(previous_N: Ids, current_N: Ids, clusters: int) -> NDArray[np.int64]:
    """The permutation of the current ids under which the most cases keep their previous id.

    The Hungarian method on the overlap of the cases that have a cluster in both. Among permutations that keep equally
    many cases, one that changes the fewest ids is taken: the identity where nothing overlaps.

    Args:
        previous_N: Ids of the previous clustering.
        current_N: Ids of the current one, of the same cases in the same order.
        clusters: Number of clusters, K, of both.

    Returns:
        The new id of each current id, shape (K,); for `apply_permutation`.

    Raises:
        ValueError: On an id out of range or tables of different lengths.
    """
    overlap_KK = contingency(current_N, previous_N, clusters, clusters)
    # K kept ids weigh less than one kept case, so they decide ties alone.
    return match_contingency(overlap_KK * (clusters + 1) + np.eye(clusters, dtype=np.int64))


def apply_permutation(cluster_N: Ids, permutation_K: Ids) -> NDArray[np.int64]:
    """The relabelled ids; ``UNASSIGNED`` stays.

    Raises:
        ValueError: When ``permutation_K`` is none, or an id is outside it.
    """
    if not np.array_equal(np.sort(permutation_K), np.arange(len(permutation_K))):
        raise ValueError(f"not a permutation of 0 to {len(permutation_K) - 1}: {np.asarray(permutation_K).tolist()}")
    return apply_mapping(cluster_N, permutation_K)
