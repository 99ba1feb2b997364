import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from dcam_dist.clustering import ALONE, ArrayRows
from dcam_dist.clustering.repair import repair_empty_clusters
from dcam_dist.clustering.sklearn_backend import SklearnBackend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError
from dcam_dist.metrics import adjusted_rand


def blobs(clusters=4, each=15, channels=12, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 10, (clusters, channels))
    features = np.concatenate([rng.normal(centre, 1, (each, channels)) for centre in centres])
    return features.astype(np.float32), np.repeat(np.arange(clusters), each)


def fit(features, seed=0, **settings):
    settings = ClusteringConfig(**{"clusters": 4, "pca_components": 3, **settings})
    return SklearnBackend().fit(ArrayRows(features), settings, seed, ALONE)


def test_separable_groups_are_found():
    features, truth = blobs()
    result = fit(features)
    assert adjusted_rand(result.label_N, truth) == pytest.approx(1)
    assert result.repaired == 0


def test_the_model_assigns_what_the_fit_assigned_and_reproduces_its_inertia():
    features, _ = blobs()
    for options in ({}, {"whiten": True}, {"l2_normalize": True}, {"whiten": True, "l2_normalize": True}):
        result = fit(features, **options)
        np.testing.assert_array_equal(result.model.assign(features), result.label_N)
        np.testing.assert_allclose(result.model.project(features), result.points_NP)
        squares = result.model.distances(result.points_NP).min(axis=1).astype(np.float64) ** 2
        assert result.inertia == pytest.approx(squares.sum(), rel=1e-4)


def test_projection_is_scaled_pca():
    features, _ = blobs()
    scaled = (features - features.mean(0)) / features.std(0)
    expected = PCA(3, svd_solver="full").fit_transform(scaled)
    points = fit(features).points_NP
    np.testing.assert_allclose(np.abs(points), np.abs(expected), rtol=1e-2, atol=1e-3)


def test_whitening_gives_unit_variance_and_l2_unit_length():
    features, _ = blobs()
    np.testing.assert_allclose(fit(features, whiten=True).points_NP.var(axis=0, ddof=1), 1, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(fit(features, l2_normalize=True).points_NP, axis=1), 1, rtol=1e-5)


def test_components_have_a_fixed_sign_and_never_exceed_rows_or_channels():
    features, _ = blobs()
    components = fit(features, pca_components=50).model.components_PC
    assert components.shape == (12, 12)
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(12), largest] > 0).all()
    assert fit(features[:8], pca_components=50).model.components_PC.shape[0] == 8


def test_the_same_seed_gives_the_same_clusters():
    features = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    one, same = fit(features, 3), fit(features, 3)
    np.testing.assert_array_equal(one.label_N, same.label_N)
    np.testing.assert_array_equal(one.model.centroid_KP, same.model.centroid_KP)


def test_constant_channels_and_duplicate_rows_do_no_harm():
    features, truth = blobs()
    features[:, 3] = 7
    result = fit(np.concatenate([features, features]))
    assert adjusted_rand(result.label_N, np.concatenate([truth, truth])) == pytest.approx(1)


def test_collapsed_features_give_one_cluster_and_no_crash():
    result = fit(np.ones((20, 5), dtype=np.float32))
    assert len(np.unique(result.label_N)) == 1
    assert np.isfinite(result.points_NP).all()
    assert np.isfinite(fit(np.ones((20, 5), dtype=np.float32), whiten=True, l2_normalize=True).points_NP).all()


def test_fewer_rows_than_clusters_and_values_that_are_not_finite_are_refused():
    features, _ = blobs()
    with pytest.raises(DataError, match="3 training cases cannot form 4 clusters"):
        fit(features[:3])
    features[5, 2] = np.nan
    with pytest.raises(DataError, match="row 5"):
        fit(features)


def test_renaming_clusters_keeps_the_partition():
    features, _ = blobs()
    result = fit(features)
    new_id = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(result.model.with_cluster_order(new_id).assign(features), new_id[result.label_N])


def test_an_empty_cluster_is_refilled_by_splitting_the_populous_one():
    points = np.array([[1.0, 1.0], [1.2, 1.2], [0.8, 0.8], [9.0, 9.0]], dtype=np.float32)
    centroids = np.array([[1.0, 1.0], [9.0, 9.0], [99.0, 99.0]], dtype=np.float32)
    fixed, label, repaired = repair_empty_clusters(points, centroids)
    assert repaired == 1
    assert (np.bincount(label, minlength=3) > 0).all()
    np.testing.assert_allclose(np.sort(fixed[[0, 2], 0]), [1 - 1 / 1024, 1 + 1 / 1024])


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), clusters=st.integers(2, 6), points=st.integers(6, 40))
def test_every_repair_fills_a_cluster_and_empties_none(seed, clusters, points):
    rng = np.random.default_rng(seed)
    data = rng.uniform(1, 2, (points, 1)).astype(np.float32)
    centroids = np.concatenate([data.mean(0, keepdims=True), np.full((clusters - 1, 1), 50)]).astype(np.float32)
    _, label, repaired = repair_empty_clusters(data, centroids)
    assert label.min() >= 0
    assert len(np.unique(label)) == 1 + repaired
    assert repaired >= 1
