"""What chance alone would score, and how far a score could be off."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.metrics.agreement import contingency, match_contingency, matched_count
from dcam_dist.metrics.ids import Ids, checked_ids, checked_pair
from dcam_dist.types import UNASSIGNED


@dataclass(frozen=True)
class NullSummary:
    """Clustering accuracy under permuted labels, of one split; NaN where the split has no labelled case.

    Attributes:
        mean: Mean over the permutations.
        p95: Their 95th percentile: what one in twenty chance results reaches.
        p_value: (1 + permutations at or above the observed accuracy) / (1 + permutations), after Phipson & Smyth
            2010, Stat. Appl. Genet. Mol. Biol. 9:39.
    """

    mean: float
    p95: float
    p_value: float


@dataclass(frozen=True)
class PermutationNull:
    """The null of both splits."""

    train: NullSummary
    test: NullSummary


def permutation_null(
    train_cluster_N: Ids,
    train_label_N: Ids,
    test_cluster_N: Ids,
    test_label_N: Ids,
    *,
    clusters: int,
    labels: int,
    permutations: int,
    seed: int,
    mapping_K: NDArray[np.int64] | None = None,
) -> PermutationNull:
    """Clustering accuracy when labels say nothing about clusters, by the same procedure as the observed one.

    Each permutation shuffles the labels within each split, refits the matching on the shuffled training labels, and
    scores both splits with it.

    Args:
        train_cluster_N: Clusters of the training cases.
        train_label_N: Their labels; cases without one are ignored.
        test_cluster_N: Clusters of the test cases.
        test_label_N: Their labels.
        clusters: Number of clusters.
        labels: Number of labels.
        permutations: Number of permutations.
        seed: Of the permutations.
        mapping_K: The label of each cluster where it is known rather than fitted (a supervised network's classes):
            then it is used for every permutation.

    Raises:
        ValueError: Without a permutation, or where no case has both a cluster and a label to fit a matching on.
    """
    if permutations < 1:
        raise ValueError("a null distribution needs at least one permutation")
    train, test = _pool(train_cluster_N, train_label_N, clusters), _pool(test_cluster_N, test_label_N, clusters)
    if mapping_K is None and not contingency(*train, clusters, labels).any():
        raise ValueError("a matching needs at least one training case with both a cluster and a label")
    # A stream for each split, so that neither null depends on the size of the other split.
    train_rng, test_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))

    def hits(train_label: NDArray[np.int64], test_label: NDArray[np.int64]) -> tuple[int, int]:
        table_KL = contingency(train[0], train_label, clusters, labels)
        mapping = match_contingency(table_KL) if mapping_K is None else mapping_K
        return matched_count(table_KL, mapping), matched_count(
            contingency(test[0], test_label, clusters, labels), mapping
        )

    observed = hits(train[1], test[1])
    drawn = np.array(
        [hits(train_rng.permutation(train[1]), test_rng.permutation(test[1])) for _ in range(permutations)]
    )
    return PermutationNull(
        train=_summary(drawn[:, 0], observed[0], train[1].size), test=_summary(drawn[:, 1], observed[1], test[1].size)
    )


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float], n: int, samples: int, seed: int
) -> tuple[float, float]:
    """95 % percentile interval over resampled cases (Efron 1979, Ann. Statist. 7:1).

    Whatever was fitted (a matching, say) stays as it is: let ``statistic`` close over it. Cases are drawn
    independently, so several scans of one patient make the interval too narrow.

    Args:
        statistic: From case indices, drawn with replacement, shape (n,).
        n: Number of cases.
        samples: Number of resamples.
        seed: Of the resamples.

    Returns:
        The 2.5th and the 97.5th percentile, resamples where the statistic is NaN left out; NaN without a case.

    Raises:
        ValueError: Without a resample.
    """
    if samples < 1:
        raise ValueError("a bootstrap needs at least one resample")
    if n == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(n, size=n)) for _ in range(samples)])
    defined = values[~np.isnan(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _pool(cluster_N: Ids, label_N: Ids, clusters: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labelled cases of a split; those without a cluster stay, as misses."""
    checked_pair(cluster_N, label_N)
    cluster, label = checked_ids(cluster_N, clusters, "cluster"), checked_ids(label_N, None, "label")
    return cluster[label != UNASSIGNED], label[label != UNASSIGNED]


def _summary(hits: NDArray[np.int64], observed: int, n: int) -> NullSummary:
    if n == 0:
        return NullSummary(float("nan"), float("nan"), float("nan"))
    # Counts are compared, not shares: equal counts are equal, whatever the rounding.
    p_value = (1 + int((hits >= observed).sum())) / (1 + len(hits))
    return NullSummary(float(hits.mean() / n), float(np.percentile(hits, 95) / n), p_value)
