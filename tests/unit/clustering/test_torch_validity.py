"""Validity of points on their ranks against scikit-learn and against the reference of ``metrics.internal``."""

import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_samples, silhouette_score

from dcam_dist import metrics
from dcam_dist.clustering import ALONE, ArrayRows
from dcam_dist.clustering.torch_silhouette import silhouette
from dcam_dist.clustering.torch_validity import cluster_spread, known, nearest_of
from dcam_dist.types import UNASSIGNED


def blobs(n, clusters, axes=5, seed=0):
    rng = np.random.default_rng(seed)
    cluster = rng.integers(clusters, size=n)
    centre = 3 * rng.normal(size=(clusters, axes)) + 7
    return (centre[cluster] + rng.normal(size=(n, axes))).astype(np.float32), cluster


def scores(points, cluster, clusters, max_cases=10_000, seed=0):
    rows, labels = ArrayRows(np.asarray(points, np.float32)), known(np.asarray(cluster, np.int64))
    spread = cluster_spread(rows, labels, clusters, ALONE, "cpu")
    return (
        silhouette(rows, labels, clusters, ALONE, "cpu", max_cases=max_cases, seed=seed),
        spread.davies_bouldin(),
        spread.calinski_harabasz(),
    )


def reference(points, cluster):
    points, cluster = np.asarray(points), np.asarray(cluster, np.int64)
    return (
        metrics.silhouette(points, cluster, max_cases=10_000, seed=0),
        metrics.davies_bouldin(points, cluster),
        metrics.calinski_harabasz(points, cluster),
    )


@pytest.mark.parametrize(("n", "clusters", "axes"), [(9, 2, 1), (300, 4, 5), (2500, 9, 16)])
def test_scores_match_scikit_learn(n, clusters, axes):
    points, cluster = blobs(n, clusters, axes)
    expected = [score(points.astype(float), cluster) for score in (silhouette_score, davies_bouldin_score)]
    found = scores(points, cluster, clusters)
    assert found == pytest.approx([*expected, calinski_harabasz_score(points.astype(float), cluster)], rel=1e-6)


def test_a_large_mean_costs_no_digits():
    points, cluster = blobs(200, 3)
    far = points + np.float32(4096)
    expected = [score(far.astype(float), cluster) for score in (silhouette_score, davies_bouldin_score)]
    assert scores(far, cluster, 3)[:2] == pytest.approx(expected, rel=1e-6)
    assert scores(far, cluster, 3)[2] == pytest.approx(calinski_harabasz_score(far.astype(float), cluster), rel=1e-6)


ODD = {
    "a cluster of one": ([[0, 0], [1, 0], [0, 1], [9, 9]], [0, 0, 0, 1]),
    "an empty cluster between": ([[0.0], [1.0], [5.0], [7.0]], [0, 0, 3, 3]),
    "cases without a cluster": ([[0.0], [1.0], [99.0], [5.0], [7.0]], [0, 0, UNASSIGNED, 1, 1]),
    "one cluster": ([[0.0], [1.0], [5.0]], [2, 2, 2]),
    "no case": (np.zeros((0, 3)), []),
    "no case with a cluster": ([[0.0], [1.0]], [UNASSIGNED, UNASSIGNED]),
    "as many clusters as cases": (np.eye(3), [0, 1, 2]),
    "centroids that coincide": ([[-1.0], [1.0], [-2.0], [2.0]], [0, 0, 1, 1]),
    "points that coincide": (np.zeros((6, 2)), [0, 0, 1, 1, 2, 2]),
    "points on their centroids": ([[0.0], [0.0], [3.0], [3.0]], [0, 0, 1, 1]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_clusterings_score_as_the_reference_says(name):
    points, cluster = ODD[name]
    assert scores(points, cluster, 5) == pytest.approx(reference(points, cluster), rel=1e-9, nan_ok=True)


def test_what_is_undefined_is_nan_and_what_is_worst_is_said():
    assert np.isnan(scores(*ODD["one cluster"], 5)).all()
    assert np.isnan(scores(*ODD["no case"], 5)).all()
    silhouette_of_one, *_ = scores(*ODD["a cluster of one"], 5)
    assert silhouette_of_one == pytest.approx(silhouette_score(*map(np.asarray, ODD["a cluster of one"])))
    assert scores(*ODD["centroids that coincide"], 5)[1:] == (np.inf, 0.0)
    assert scores(*ODD["points that coincide"], 5) == (0.0, np.inf, 0.0)
    assert scores(*ODD["points on their centroids"], 5) == (1.0, 0.0, np.inf)


def test_the_clusters_may_be_those_of_the_nearest_centroids():
    points, cluster = blobs(400, 4)
    centroids = np.stack([points[cluster == k].mean(axis=0) for k in range(4)])
    label = np.linalg.norm(points[:, None] - centroids, axis=2).argmin(axis=1)
    rows, labels = ArrayRows(points), nearest_of(centroids)
    spread = cluster_spread(rows, labels, 4, ALONE, "cpu")
    found = silhouette(rows, labels, 4, ALONE, "cpu", max_cases=1000, seed=0), spread.davies_bouldin()
    assert (*found, spread.calinski_harabasz()) == scores(points, label, 4)


def test_the_sample_is_seeded_and_its_mean_is_near_that_of_all():
    points, cluster = blobs(4000, 4)
    own = silhouette_samples(points.astype(float), cluster)
    drawn = [scores(points, cluster, 4, 500, seed)[0] for seed in range(5)]
    assert drawn[3] == scores(points, cluster, 4, 500, 3)[0]
    assert len(set(drawn)) == 5
    assert np.abs(np.array(drawn) - own.mean()).max() < 4 * own.std() / np.sqrt(500)


def test_the_sample_is_drawn_from_all_chunks(monkeypatch):
    points, cluster = blobs(3000, 3)
    whole = scores(points, cluster, 3, 200, 1)
    monkeypatch.setattr("dcam_dist.clustering.torch_points.CPU_BLOCK", 97)
    assert scores(points, cluster, 3, 200, 1) == pytest.approx(whole, rel=1e-12)
    assert scores(points, cluster, 3, 200, 1)[0] == whole[0]


def test_an_id_that_is_none_is_refused():
    with pytest.raises(ValueError, match="cluster id -1"):
        known(np.array([0, -1]))
