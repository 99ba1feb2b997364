"""The scores of one method on both splits, from its cluster ids alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist import metrics
from dcam_dist.metrics import NullSummary, PermutationNull
from dcam_dist.types import UNASSIGNED, Split


@dataclass(frozen=True, eq=False)
class ClusteredSplits:
    """What one method made of the cases of both splits.

    Attributes:
        train_cluster_N: int64 cluster ids (class ids of a supervised method).
        train_label_N: int64 labels in ascending order of severity, ``UNASSIGNED`` where a case has none.
        test_cluster_N: As for train.
        test_label_N: As for train.
        train_points_NP: The cases in the space of the internal scores, or none.
        test_points_NP: As for train.
        space: What that space is, in words.
    """

    train_cluster_N: NDArray[np.int64]
    train_label_N: NDArray[np.int64]
    test_cluster_N: NDArray[np.int64]
    test_label_N: NDArray[np.int64]
    train_points_NP: NDArray[np.floating[Any]] | None
    test_points_NP: NDArray[np.floating[Any]] | None
    space: str


@dataclass(frozen=True)
class SplitScores:
    """The scores of one split: None where they do not apply (no labels, no points), NaN where undefined.

    Attributes:
        n: Cases.
        labelled: Cases with a label, the base of every score against labels.
        cluster_sizes: Cases of each cluster.
        silhouette: See `metrics.silhouette`.
        davies_bouldin: See `metrics.davies_bouldin`.
        majority_share: What a constant answer scores.
        adjusted_rand: See `metrics.adjusted_rand`.
        nmi: See `metrics.normalized_mutual_information`.
        clustering_accuracy: With the matching fitted on train.
        accuracy_interval: 95 % bootstrap interval over cases, the matching held fixed.
        null_mean: Mean accuracy under permuted labels.
        null_p95: Its 95th percentile.
        null_p_value: See `metrics.NullSummary`.
        weighted_kappa: Linear weights over the whole label set.
        within_one_grade: Share at most one grade away.
    """

    n: int
    labelled: int
    cluster_sizes: tuple[int, ...]
    silhouette: float | None = None
    davies_bouldin: float | None = None
    majority_share: float | None = None
    adjusted_rand: float | None = None
    nmi: float | None = None
    clustering_accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    null_mean: float | None = None
    null_p95: float | None = None
    null_p_value: float | None = None
    weighted_kappa: float | None = None
    within_one_grade: float | None = None

    def __post_init__(self) -> None:
        beside = (self.accuracy_interval, self.null_mean, self.null_p95, self.null_p_value)
        if self.clustering_accuracy is not None and None in beside:
            raise ValueError("an accuracy goes with its interval and its permutation null")


@dataclass(frozen=True)
class MethodScores:
    """The scores of one method.

    Attributes:
        train: On the training split, where the matching was fitted.
        test: On the test split, with the same matching.
        mapping_K: The label of each cluster, ``UNASSIGNED`` for none; None without training labels.
        supervised: Whether the mapping was given, because the method itself learnt from labels.
        labels: The label names.
        space: The space of silhouette and Davies-Bouldin.
    """

    train: SplitScores
    test: SplitScores
    mapping_K: tuple[int, ...] | None
    supervised: bool
    labels: tuple[str, ...]
    space: str

    def of(self, split: Split) -> SplitScores:
        """The scores of one split."""
        return self.train if split == "train" else self.test

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain dicts, lists and numbers; NaN and infinity become None."""
        return {key: _jsonable(value) for key, value in asdict(self).items()}


def score(
    splits: ClusteredSplits,
    *,
    clusters: int,
    labels: Sequence[str],
    permutations: int,
    bootstrap: int,
    silhouette_cases: int,
    seed: int,
    mapping: NDArray[np.int64] | None = None,
) -> MethodScores:
    """Score one method on both splits.

    The matching of clusters to labels is fitted on train and held fixed on test and in the bootstrap.

    Args:
        splits: Its clusters, the labels and the points.
        clusters: Number of clusters.
        labels: Label names, in ascending order of severity.
        permutations: Of the null.
        bootstrap: Resamples of the interval.
        silhouette_cases: Above this many cases the silhouette is computed on a sample.
        seed: Of permutations, resamples and that sample.
        mapping: The label of each class of a supervised method, shape (clusters,), in place of a matching.

    Returns:
        All scores; those that need labels are None where a split has none, or train has none to fit a matching on.

    Raises:
        ValueError: On ids out of range, or tables of different lengths.
    """
    rules = _Rules(clusters, len(labels), permutations, bootstrap, silhouette_cases, seed)
    mapping_K = _fitted_mapping(splits, rules) if mapping is None else mapping
    null = None if mapping_K is None else _null(splits, rules, mapping)
    train = _Half(splits.train_cluster_N, splits.train_label_N, splits.train_points_NP)
    test = _Half(splits.test_cluster_N, splits.test_label_N, splits.test_points_NP)
    return MethodScores(
        train=_score_half(train, rules, mapping_K, null.train if null else None),
        test=_score_half(test, rules, mapping_K, null.test if null else None),
        mapping_K=None if mapping_K is None else tuple(mapping_K.tolist()),
        supervised=mapping is not None,
        labels=tuple(labels),
        space=splits.space,
    )


@dataclass(frozen=True)
class _Rules:
    clusters: int
    labels: int
    permutations: int
    bootstrap: int
    silhouette_cases: int
    seed: int


@dataclass(frozen=True, eq=False)
class _Half:
    cluster_N: NDArray[np.int64]
    label_N: NDArray[np.int64]
    points_NP: NDArray[np.floating[Any]] | None


def _fitted_mapping(splits: ClusteredSplits, rules: _Rules) -> NDArray[np.int64] | None:
    both = (splits.train_cluster_N != UNASSIGNED) & (splits.train_label_N != UNASSIGNED)
    if not both.any():
        return None
    return metrics.match_clusters(
        splits.train_cluster_N, splits.train_label_N, clusters=rules.clusters, labels=rules.labels
    )


def _null(splits: ClusteredSplits, rules: _Rules, given: NDArray[np.int64] | None) -> PermutationNull:
    return metrics.permutation_null(
        splits.train_cluster_N,
        splits.train_label_N,
        splits.test_cluster_N,
        splits.test_label_N,
        clusters=rules.clusters,
        labels=rules.labels,
        permutations=rules.permutations,
        seed=rules.seed,
        mapping_K=given,
    )


def _score_half(
    half: _Half, rules: _Rules, mapping_K: NDArray[np.int64] | None, null: NullSummary | None
) -> SplitScores:
    scores = _with_internal(
        SplitScores(
            n=len(half.cluster_N),
            labelled=int((half.label_N != UNASSIGNED).sum()),
            cluster_sizes=tuple(
                np.bincount(half.cluster_N[half.cluster_N != UNASSIGNED], minlength=rules.clusters).tolist()
            ),
        ),
        half,
        rules,
    )
    if not scores.labelled:
        return scores
    scores = replace(
        scores,
        majority_share=metrics.majority_share(half.label_N),
        adjusted_rand=metrics.adjusted_rand(half.cluster_N, half.label_N),
        nmi=metrics.normalized_mutual_information(half.cluster_N, half.label_N),
    )
    if mapping_K is None or null is None:
        return scores
    return _with_predictions(scores, metrics.apply_mapping(half.cluster_N, mapping_K), half.label_N, rules, null)


def _with_internal(scores: SplitScores, half: _Half, rules: _Rules) -> SplitScores:
    if half.points_NP is None:
        return scores
    return replace(
        scores,
        silhouette=metrics.silhouette(
            half.points_NP, half.cluster_N, max_cases=rules.silhouette_cases, seed=rules.seed
        ),
        davies_bouldin=metrics.davies_bouldin(half.points_NP, half.cluster_N),
    )


def _with_predictions(
    scores: SplitScores,
    predicted_N: NDArray[np.int64],
    label_N: NDArray[np.int64],
    rules: _Rules,
    null: NullSummary,
) -> SplitScores:
    hit_N = (predicted_N == label_N)[label_N != UNASSIGNED]
    return replace(
        scores,
        clustering_accuracy=float(hit_N.mean()),
        accuracy_interval=metrics.bootstrap_interval(
            lambda drawn_N: float(hit_N[drawn_N].mean()), len(hit_N), rules.bootstrap, rules.seed
        ),
        null_mean=null.mean,
        null_p95=null.p95,
        null_p_value=null.p_value,
        weighted_kappa=metrics.weighted_kappa(predicted_N, label_N, labels=rules.labels),
        within_one_grade=metrics.within_one_grade(predicted_N, label_N),
    )


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
