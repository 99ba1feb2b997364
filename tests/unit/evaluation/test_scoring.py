import json
from dataclasses import replace

import numpy as np
import pytest

from dcam_dist.evaluation.scoring import ClusteredSplits, MethodScores, SplitScores, score
from dcam_dist.types import UNASSIGNED

GRADES = ("absent", "trace", "mild")
RULES = {"clusters": 3, "labels": GRADES, "permutations": 50, "bootstrap": 100, "silhouette_cases": 1000, "seed": 0}


def splits(*, noise: float = 0.3, seed: int = 0, n: int = 90) -> ClusteredSplits:
    """Clusters 2, 0, 1 are grades 0, 1, 2, with a share of the cases astray."""
    rng = np.random.default_rng(seed)

    def half(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        label = np.arange(size) % 3
        cluster = np.where(rng.random(size) < noise, rng.integers(3, size=size), (label + 2) % 3)
        return cluster, label, cluster[:, None] + 0.1 * rng.normal(size=(size, 2))

    (train, train_label, train_points), (test, test_label, test_points) = half(n), half(n // 3)
    return ClusteredSplits(train, train_label, test, test_label, train_points, test_points, "PCA of the features")


def without_labels(given: ClusteredSplits, *halves: str) -> ClusteredSplits:
    return replace(
        given, **{f"{half}_label_N": np.full_like(getattr(given, f"{half}_label_N"), -100) for half in halves}
    )


LABEL_BASED = (
    "majority_share",
    "adjusted_rand",
    "nmi",
    "clustering_accuracy",
    "accuracy_interval",
    "null_mean",
    "null_p95",
    "null_p_value",
    "weighted_kappa",
    "within_one_grade",
)


def label_based(scores: SplitScores) -> list[object]:
    return [getattr(scores, name) for name in LABEL_BASED]


def test_a_perfect_clustering_scores_one():
    scores = score(splits(noise=0.0), **RULES)
    assert scores.mapping_K == (1, 2, 0)
    for half in (scores.train, scores.test):
        assert half.clustering_accuracy == half.adjusted_rand == half.weighted_kappa == half.within_one_grade == 1.0
        assert half.nmi == pytest.approx(1.0)
        assert half.accuracy_interval == (1.0, 1.0)
        assert half.null_p_value == pytest.approx(1 / 51)
        assert half.majority_share == pytest.approx(1 / 3)
        assert half.silhouette > 0.8 and half.davies_bouldin < 0.4
    assert (scores.train.n, scores.train.cluster_sizes) == (90, (30, 30, 30))
    assert (scores.test.n, scores.test.cluster_sizes) == (30, (10, 10, 10))


def test_the_matching_of_train_is_held_fixed_on_test():
    given = splits(noise=0.0)
    swapped = replace(given, test_cluster_N=(given.test_cluster_N + 1) % 3)
    scores = score(swapped, **RULES)
    assert scores.train.clustering_accuracy == 1.0
    assert scores.test.clustering_accuracy == 0.0
    assert scores.test.adjusted_rand == 1.0


def test_an_interval_holds_its_accuracy_and_narrows_with_cases():
    small, large = score(splits(), **RULES), score(splits(n=900), **RULES)
    for scores in (small, large):
        low, high = scores.test.accuracy_interval
        assert low < scores.test.clustering_accuracy < high
    widths = [high - low for low, high in (small.test.accuracy_interval, large.test.accuracy_interval)]
    assert widths[1] < 0.5 * widths[0]


def test_the_same_seed_gives_the_same_scores():
    assert score(splits(), **RULES) == score(splits(), **RULES)
    other = score(splits(), **{**RULES, "seed": 1})
    assert other.test.null_mean != score(splits(), **RULES).test.null_mean
    assert other.test.clustering_accuracy == score(splits(), **RULES).test.clustering_accuracy


def test_renamed_clusters_score_the_same():
    given, names = splits(), np.array([1, 2, 0])
    renamed = replace(given, train_cluster_N=names[given.train_cluster_N], test_cluster_N=names[given.test_cluster_N])
    one, two = score(given, **RULES).test, score(renamed, **RULES).test
    assert two.cluster_sizes == tuple(one.cluster_sizes[k] for k in (2, 0, 1))
    for name in ("clustering_accuracy", "adjusted_rand", "weighted_kappa", "within_one_grade", "silhouette"):
        assert getattr(two, name) == pytest.approx(getattr(one, name)), name


def test_without_labels_the_internal_scores_stay():
    scores = score(without_labels(splits(), "train", "test"), **RULES)
    assert scores.mapping_K is None
    for half in (scores.train, scores.test):
        assert label_based(half) == [None] * len(LABEL_BASED)
        assert half.labelled == 0
        assert np.isfinite([half.silhouette, half.davies_bouldin]).all()


def test_test_without_labels_leaves_train_scored():
    scores = score(without_labels(splits(), "test"), **RULES)
    assert None not in label_based(scores.train)
    assert label_based(scores.test) == [None] * len(LABEL_BASED)


def test_train_without_labels_leaves_what_needs_no_matching():
    scores = score(without_labels(splits(), "train"), **RULES)
    assert scores.test.adjusted_rand == score(splits(), **RULES).test.adjusted_rand
    assert scores.test.majority_share is not None
    assert scores.test.clustering_accuracy is None
    assert scores.test.weighted_kappa is None


def test_an_empty_split_has_no_scores():
    none, given = np.empty(0, np.int64), splits()
    empty = replace(given, test_cluster_N=none, test_label_N=none, test_points_NP=np.empty((0, 2)))
    scores = score(empty, **RULES)
    assert scores.test.n == 0
    assert label_based(scores.test) == [None] * len(LABEL_BASED)
    assert np.isnan(scores.test.silhouette)
    assert scores.train == score(given, **RULES).train


def test_without_points_the_internal_scores_are_none():
    scores = score(replace(splits(), train_points_NP=None, test_points_NP=None), **RULES)
    assert scores.test.silhouette is None and scores.test.davies_bouldin is None
    assert scores.test.clustering_accuracy is not None


def test_partly_labelled_splits_count_their_labelled_cases():
    given = splits()
    label = given.test_label_N.copy()
    label[:12] = UNASSIGNED
    scores = score(replace(given, test_label_N=label), **RULES)
    assert (scores.test.n, scores.test.labelled) == (30, 18)
    kept = score(replace(given, test_cluster_N=given.test_cluster_N[12:], test_label_N=label[12:],
                         test_points_NP=given.test_points_NP[12:]), **RULES)  # fmt: skip
    assert label_based(scores.test) == label_based(kept.test)


def test_a_supervised_method_is_scored_by_its_own_classes():
    given = splits(noise=0.0)
    scores = score(given, **RULES, mapping=np.arange(3))
    assert scores.supervised and scores.mapping_K == (0, 1, 2)
    assert scores.train.clustering_accuracy == 0.0
    right = replace(given, test_cluster_N=given.test_label_N)
    assert score(right, **RULES, mapping=np.arange(3)).test.clustering_accuracy == 1.0
    assert score(without_labels(right, "train"), **RULES, mapping=np.arange(3)).test.clustering_accuracy == 1.0


def test_more_clusters_than_labels():
    given = replace(splits(noise=0.0), train_cluster_N=np.arange(90) % 6, test_cluster_N=np.arange(30) % 6)
    scores = score(given, **{**RULES, "clusters": 6})
    assert sorted(scores.mapping_K) == [UNASSIGNED] * 3 + [0, 1, 2]
    assert scores.test.clustering_accuracy == 0.5


def test_an_accuracy_cannot_exist_without_its_null_and_interval():
    with pytest.raises(ValueError, match="permutation null"):
        SplitScores(n=3, labelled=3, cluster_sizes=(3,), clustering_accuracy=0.5)
    with pytest.raises(ValueError, match="interval"):
        SplitScores(3, 3, (3,), clustering_accuracy=0.5, null_mean=0.3, null_p95=0.4, null_p_value=0.1)


def test_to_dict_is_strict_json():
    given = splits()
    collapsed = replace(given, test_cluster_N=np.zeros(30, np.int64))
    scores: MethodScores = score(collapsed, **RULES)
    assert np.isnan(scores.test.silhouette)
    plain = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert plain["test"]["silhouette"] is None and plain["test"]["davies_bouldin"] is None
    assert plain["mapping_K"] == list(scores.mapping_K)
    assert plain["test"]["accuracy_interval"] == list(scores.test.accuracy_interval)
    assert plain["train"]["clustering_accuracy"] == scores.train.clustering_accuracy
    assert plain["space"] == "PCA of the features" and plain["labels"] == list(GRADES)
    assert plain == json.loads(json.dumps(scores.to_dict()))
