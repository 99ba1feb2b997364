import numpy as np
import pytest

from dcam_dist import metrics
from dcam_dist.evaluation.baselines import densitometry_clusters, laa950_binning
from dcam_dist.evaluation.scoring import score


def test_laa950_bins_are_ordered_and_test_takes_the_nearest_centre():
    train = np.array([20.0, 21.0, 0.0, 1.0, 5.0, 6.0])
    found = laa950_binning(train, np.array([2.9, 3.1, 100.0, -1.0]), clusters=3, seed=0)
    assert found.train_cluster_N.tolist() == [2, 2, 0, 0, 1, 1]
    assert found.test_cluster_N.tolist() == [0, 1, 2, 0]
    assert found.train_cluster_N.dtype == found.test_cluster_N.dtype == np.int64
    assert found.train_points_NP.shape == (6, 1) and found.space == "LAA-950"


def test_fewer_distinct_values_than_bins_is_fewer_bins():
    found = laa950_binning(np.array([0.0, 0.0, 0.0, 7.0]), np.array([6.0]), clusters=6, seed=0)
    assert found.train_cluster_N.tolist() == [0, 0, 0, 1]
    assert found.test_cluster_N.tolist() == [1]


def test_no_test_case_is_no_test_cluster():
    found = laa950_binning(np.array([0.0, 1.0]), np.empty(0), clusters=2, seed=0)
    assert found.test_cluster_N.shape == (0,)


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three groups in two measures of very different units."""
    rng = np.random.default_rng(seed)
    group = np.arange(60) % 3
    centre = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    return (centre[group] + 0.3 * rng.normal(size=(60, 2))) * [1.0, 1e4], group


def test_densitometry_clusters_find_groups_whatever_the_units():
    points, group = blobs()
    found = densitometry_clusters(points[:45], points[45:], clusters=3, seed=0)
    assert metrics.adjusted_rand(found.train_cluster_N, group[:45]) == 1.0
    assert metrics.adjusted_rand(found.test_cluster_N, group[45:]) == 1.0
    assert found.train_points_NP.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert found.train_points_NP.std(axis=0) == pytest.approx([1, 1])


def test_test_cases_do_not_move_the_clusters():
    points, _ = blobs()
    one = densitometry_clusters(points[:45], points[45:], clusters=3, seed=0)
    two = densitometry_clusters(points[:45], 100 * points[45:], clusters=3, seed=0)
    assert np.array_equal(one.train_cluster_N, two.train_cluster_N)
    assert np.array_equal(one.train_points_NP, two.train_points_NP)


def test_missing_and_constant_measures():
    points, _ = blobs()
    padded = np.column_stack([points, np.full(60, np.nan), np.full(60, 3.7)])
    padded[50, 3] = 99.0
    plain = densitometry_clusters(points[:45], points[45:], clusters=3, seed=0)
    found = densitometry_clusters(padded[:45], padded[45:], clusters=3, seed=0)
    assert np.array_equal(found.train_cluster_N, plain.train_cluster_N)
    assert np.array_equal(found.test_cluster_N, plain.test_cluster_N)
    assert not found.train_points_NP[:, 2].any() and not found.test_points_NP[:, 2].any()
    holed = points.copy()
    holed[46, 1] = np.nan
    filled = densitometry_clusters(holed[:45], holed[45:], clusters=3, seed=0).test_points_NP[1, 1]
    scaled = (np.median(points[:45, 1]) - points[:45, 1].mean()) / points[:45, 1].std()
    assert filled == pytest.approx(scaled)


def test_unusable_densitometry_is_refused():
    points, _ = blobs()
    for train, test in [(points[:0], points), (np.full((3, 2), np.inf), points), (points, np.full((3, 2), -np.inf))]:
        with pytest.raises(ValueError, match="finite"):
            densitometry_clusters(train, test, clusters=2, seed=0)
    for train, test in [(np.empty(0), np.zeros(2)), (np.array([np.nan, 1]), np.zeros(2)), (np.zeros(2), [np.nan])]:
        with pytest.raises(ValueError, match="finite"):
            laa950_binning(train, np.asarray(test), clusters=2, seed=0)


def test_the_global_generator_is_left_alone():
    points, _ = blobs()
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    one = densitometry_clusters(points[:45], points[45:], clusters=3, seed=1)
    assert np.array_equal(before, np.random.get_state()[1])
    assert np.array_equal(
        one.train_cluster_N, densitometry_clusters(points[:45], points, clusters=3, seed=1).train_cluster_N
    )


def test_a_baseline_is_scored_like_a_method():
    points, group = blobs()
    splits = densitometry_clusters(points[:45], points[45:], clusters=3, seed=0).with_labels(group[:45], group[45:])
    scores = score(
        splits, clusters=3, labels=("a", "b", "c"), permutations=20, bootstrap=20, silhouette_cases=100, seed=0
    )
    assert scores.test.clustering_accuracy == 1.0
    assert scores.space == "standardised densitometry"
    assert scores.test.silhouette > 0.5
