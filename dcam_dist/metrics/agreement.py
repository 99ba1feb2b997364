"""How well clusters agree with labels, or two partitions with each other.

Cases whose label is ``UNASSIGNED`` are ignored everywhere. A labelled case without a prediction (it has no cluster, or
its cluster was matched to no label) counts as a miss wherever predictions are scored; the symmetric scores (adjusted
Rand, mutual information) use the cases that both tables hold.
Without any usable case a score is NaN; a matching cannot be fitted and raises.
"""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.metrics.ids import Ids, apply_mapping, checked_ids, checked_pair
from dcam_dist.types import UNASSIGNED


def contingency(cluster_N: Ids, label_N: Ids, clusters: int, labels: int) -> NDArray[np.int64]:
    """Count the cases of each cluster and label.

    Args:
        cluster_N: Cluster ids.
        label_N: Labels of the same cases.
        clusters: Number of clusters, K.
        labels: Number of labels, L.

    Returns:
        Counts of shape (K, L), over the cases that have both.

    Raises:
        ValueError: On an id out of range or tables of different lengths.
    """
    checked_pair(cluster_N, label_N)
    cluster, label = checked_ids(cluster_N, clusters, "cluster"), checked_ids(label_N, labels, "label")
    both = (cluster != UNASSIGNED) & (label != UNASSIGNED)
    return np.bincount(cluster[both] * labels + label[both], minlength=clusters * labels).reshape(clusters, labels)


def match_contingency(table_KL: NDArray[np.int64]) -> NDArray[np.int64]:
    """The one-to-one matching of clusters to labels that agrees on the most cases.

    The Hungarian method (Kuhn 1955, Naval Research Logistics 2:83) on the table, as if padded with zeros to a square:
    with more clusters than labels the surplus clusters get ``UNASSIGNED``.

    Args:
        table_KL: Cases of each cluster and label.

    Returns:
        The label of each cluster, shape (K,).
    """
    from scipy.optimize import linear_sum_assignment

    mapping_K = np.full(len(table_KL), UNASSIGNED, dtype=np.int64)
    cluster, label = linear_sum_assignment(table_KL, maximize=True)
    mapping_K[cluster] = label
    return mapping_K


def matched_count(table_KL: NDArray[np.int64], mapping_K: NDArray[np.int64]) -> int:
    """Cases of the table whose label is the one their cluster is matched to."""
    matched = np.flatnonzero(mapping_K != UNASSIGNED)
    return int(table_KL[matched, mapping_K[matched]].sum())


def match_clusters(cluster_N: Ids, label_N: Ids, *, clusters: int, labels: int) -> NDArray[np.int64]:
    """Fit the matching of clusters to labels; see `match_contingency`.

    Returns:
        The label of each cluster, shape (K,); ``UNASSIGNED`` for a cluster matched to none.

    Raises:
        ValueError: When no case has both a cluster and a label, or an id is out of range.
    """
    table_KL = contingency(cluster_N, label_N, clusters, labels)
    if not table_KL.any():
        raise ValueError("a matching needs at least one case with both a cluster and a label")
    return match_contingency(table_KL)


def clustering_accuracy(cluster_N: Ids, label_N: Ids, mapping_K: Ids) -> float:
    """Share of the labelled cases whose cluster is matched to their label: mean[label = m(cluster)].

    Fit the matching on the training split and hold it fixed everywhere else (`match_clusters` finds the maximum over
    matchings of Xie 2016, ICML). Never read it without its permutation null: the maximum lifts it far above the
    majority share even for random labels.

    Returns:
        0 to 1; NaN without a labelled case.

    Raises:
        ValueError: On tables of different lengths or a cluster outside the mapping.
    """
    predicted, label = _labelled(apply_mapping(cluster_N, mapping_K), label_N, None)
    return float(np.mean(predicted == label)) if label.size else float("nan")


def adjusted_rand(first_N: Ids, second_N: Ids) -> float:
    """Rand index corrected for chance (Hubert & Arabie 1985, J. Classification 2:193): 1 identical, 0 chance.

    Returns:
        Over the cases that both tables hold; NaN without any.
    """
    from sklearn.metrics import adjusted_rand_score

    first, second = _in_both(first_N, second_N)
    return float(adjusted_rand_score(first, second)) if first.size else float("nan")


def normalized_mutual_information(first_N: Ids, second_N: Ids) -> float:
    """I(a; b) / mean(H(a), H(b)), not corrected for chance (Vinh 2010, JMLR 11:2837, with the arithmetic mean).

    Returns:
        0 to 1, over the cases that both tables hold; NaN without any.
    """
    from sklearn.metrics import normalized_mutual_info_score

    first, second = _in_both(first_N, second_N)
    return float(normalized_mutual_info_score(first, second)) if first.size else float("nan")


def weighted_kappa(predicted_N: Ids, label_N: Ids, *, labels: int) -> float:
    """Linearly weighted κ over the whole ordered label set (Cohen 1968, Psychol. Bull. 70:213).

    1 − Σ w·observed / Σ w·expected, with w the distance in grades. No prediction is an answer of its own, labels − 1
    grades (the largest distance there is) from every label, so that random answers still score 0.

    Args:
        predicted_N: Predicted labels.
        label_N: Labels, in ascending order of severity.
        labels: Number of labels in the set, whether they occur or not.

    Returns:
        1 perfect, 0 chance; NaN without a labelled case, or where chance alone would agree fully.

    Raises:
        ValueError: On an id out of range or tables of different lengths.
    """
    predicted, label = _labelled(predicted_N, label_N, labels)
    if not label.size:
        return float("nan")
    column = np.where(predicted == UNASSIGNED, labels, predicted)
    observed = np.bincount(label * (labels + 1) + column, minlength=labels * (labels + 1)).reshape(labels, labels + 1)
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / label.size
    grade = np.arange(labels)
    weight = np.column_stack([np.abs(grade[:, None] - grade), np.full(labels, labels - 1)])
    chance = float((weight * expected).sum())
    return 1.0 - float((weight * observed).sum()) / chance if chance else float("nan")


def within_one_grade(predicted_N: Ids, label_N: Ids) -> float:
    """Share of the labelled cases predicted at most one grade away; NaN without a labelled case."""
    predicted, label = _labelled(predicted_N, label_N, None)
    # UNASSIGNED is a hundred grades away from any label, so a miss without a rule of its own.
    return float(np.mean(np.abs(predicted - label) <= 1)) if label.size else float("nan")


def majority_share(label_N: Ids) -> float:
    """Share of the most frequent label among the labelled cases: what a constant answer scores; NaN without any."""
    label = checked_ids(label_N, None, "label")
    label = label[label != UNASSIGNED]
    return float(np.bincount(label).max() / label.size) if label.size else float("nan")


def _labelled(predicted_N: Ids, label_N: Ids, labels: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    checked_pair(predicted_N, label_N)
    predicted, label = checked_ids(predicted_N, labels, "predicted label"), checked_ids(label_N, labels, "label")
    return predicted[label != UNASSIGNED], label[label != UNASSIGNED]


def _in_both(first_N: Ids, second_N: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    checked_pair(first_N, second_N)
    first, second = checked_ids(first_N, None, "first"), checked_ids(second_N, None, "second")
    both = (first != UNASSIGNED) & (second != UNASSIGNED)
    return first[both], second[both]
