import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dcam_dist.clustering.model import nearest
from dcam_dist.clustering.repair import repair_empty_clusters


def repair(points, centroids):
    return repair_empty_clusters(centroids, lambda some: np.bincount(nearest(points, some), minlength=len(some)))


def test_an_empty_cluster_is_refilled_by_splitting_the_populous_one():
    points = np.array([[1.0, 1.0], [1.2, 1.2], [0.8, 0.8], [9.0, 9.0]], dtype=np.float32)
    centroids = np.array([[1.0, 1.0], [9.0, 9.0], [99.0, 99.0]], dtype=np.float32)
    fixed, size, repaired = repair(points, centroids)
    assert repaired == 1
    assert (size > 0).all() and size.sum() == 4
    np.testing.assert_allclose(np.sort(fixed[[0, 2], 0]), [1 - 1 / 1024, 1 + 1 / 1024])


def test_identical_rows_cannot_be_parted():
    points = np.ones((9, 3), dtype=np.float32)
    centroids = np.array([[1.0] * 3, [5.0] * 3], dtype=np.float32)
    fixed, size, repaired = repair(points, centroids)
    assert repaired == 0 and size.tolist() == [9, 0]
    np.testing.assert_array_equal(fixed, centroids)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), clusters=st.integers(2, 6), points=st.integers(6, 40))
def test_every_repair_fills_a_cluster_and_empties_none(seed, clusters, points):
    rng = np.random.default_rng(seed)
    data = rng.uniform(1, 2, (points, 1)).astype(np.float32)
    centroids = np.concatenate([data.mean(0, keepdims=True), np.full((clusters - 1, 1), 50)]).astype(np.float32)
    _, size, repaired = repair(data, centroids)
    assert size.sum() == points
    assert np.count_nonzero(size) == 1 + repaired
    assert repaired >= 1
