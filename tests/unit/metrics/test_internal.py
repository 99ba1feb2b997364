import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from dcam_dist.metrics import calinski_harabasz, davies_bouldin, silhouette
from dcam_dist.types import UNASSIGNED


def blobs(n: int, clusters: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    cluster = rng.integers(clusters, size=n)
    centre = 4 * rng.normal(size=(clusters, 3))
    return centre[cluster] + rng.normal(size=(n, 3)), cluster


@pytest.mark.parametrize("clusters", [2, 5])
def test_scores_match_scikit_learn(clusters: int):
    points, cluster = blobs(120, clusters)
    assert silhouette(points, cluster, max_cases=500, seed=0) == pytest.approx(silhouette_score(points, cluster))
    assert davies_bouldin(points, cluster) == pytest.approx(davies_bouldin_score(points, cluster))
    assert calinski_harabasz(points, cluster) == pytest.approx(calinski_harabasz_score(points, cluster))


def test_hand_computed_pairs():
    points, cluster = np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1])
    # s = 1 in both, centroids 10 apart; a = 2, b = 11 for the outer cases and 9 for the inner ones.
    assert davies_bouldin(points, cluster) == pytest.approx(0.2)
    assert silhouette(points, cluster, max_cases=9, seed=0) == pytest.approx((9 / 11 + 7 / 9) / 2)
    assert calinski_harabasz(points, cluster) == pytest.approx((100 / 1) / (4 / 2))


def test_unassigned_cases_and_unused_ids_do_not_count():
    points, cluster = blobs(60, 3)
    gapped = np.where(cluster == 2, 7, cluster)
    gapped[:10] = UNASSIGNED
    assert silhouette(points, gapped, max_cases=99, seed=0) == pytest.approx(silhouette_score(points[10:], gapped[10:]))
    assert davies_bouldin(points, gapped) == pytest.approx(davies_bouldin_score(points[10:], gapped[10:]))
    assert calinski_harabasz(points, gapped) == pytest.approx(calinski_harabasz_score(points[10:], gapped[10:]))


@pytest.mark.parametrize("cluster", [[0, 0, 0], [], [UNASSIGNED, 1, UNASSIGNED]])
def test_fewer_than_two_clusters_is_nan(cluster: list[int]):
    ids = np.array(cluster, dtype=np.int64)
    points = np.zeros((len(ids), 2))
    assert np.isnan(silhouette(points, ids, max_cases=10, seed=0))
    assert np.isnan(davies_bouldin(points, ids))
    assert np.isnan(calinski_harabasz(points, ids))


def test_as_many_clusters_as_cases_is_nan():
    assert np.isnan(silhouette(np.eye(3), np.arange(3), max_cases=10, seed=0))
    assert np.isnan(calinski_harabasz(np.eye(3), np.arange(3)))


def test_coincident_centroids_score_worst():
    points, cluster = np.array([[-1.0], [1.0], [-2.0], [2.0]]), np.array([0, 0, 1, 1])
    assert davies_bouldin(points, cluster) == np.inf
    assert davies_bouldin(np.zeros((4, 1)), cluster) == np.inf
    assert calinski_harabasz(points, cluster) == 0
    assert calinski_harabasz(np.zeros((4, 1)), cluster) == 0


def test_points_on_their_centroids_score_without_bound():
    points, cluster = np.array([[0.0], [0.0], [2.0], [2.0]]), np.array([0, 0, 1, 1])
    assert calinski_harabasz(points, cluster) == np.inf
    assert davies_bouldin(points, cluster) == 0


def test_sampled_silhouette_is_seeded_and_near_the_full_one():
    points, cluster = blobs(2000, 3)
    sampled = silhouette(points, cluster, max_cases=500, seed=3)
    assert sampled == silhouette(points, cluster, max_cases=500, seed=3)
    assert sampled != silhouette(points, cluster, max_cases=500, seed=4)
    assert sampled == pytest.approx(silhouette_score(points, cluster), abs=0.03)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_points_that_are_not_finite_are_refused(bad: float):
    points, cluster = np.array([[0.0], [1.0], [bad]]), np.array([0, 1, 1])
    with pytest.raises(ValueError, match="finite"):
        davies_bouldin(points, cluster)
    with pytest.raises(ValueError, match="finite"):
        silhouette(points, cluster, max_cases=9, seed=0)
    with pytest.raises(ValueError, match="finite"):
        calinski_harabasz(points, cluster)
