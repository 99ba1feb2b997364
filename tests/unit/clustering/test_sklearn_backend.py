"""What is scikit-learn's alone; what all backends must do is in ``support.cluster_contract``."""

import numpy as np
from sklearn.decomposition import PCA
from support.cluster_contract import groups, settings
from threadpoolctl import threadpool_limits

from dcam_dist.clustering import ALONE, ArrayRows
from dcam_dist.clustering.sklearn_backend import SklearnBackend


def fit(features, seed=0, **changes):
    return SklearnBackend().fit(ArrayRows(features), settings(**changes), seed, ALONE)


def test_projection_is_scaled_pca():
    features = groups()
    scaled = (features - features.mean(0)) / features.std(0)
    expected = PCA(6, svd_solver="full").fit_transform(scaled)
    points = fit(features).model.project(features)
    np.testing.assert_allclose(np.abs(points), np.abs(expected), rtol=1e-2, atol=1e-3)


def test_whitening_gives_unit_variance_and_l2_unit_length():
    features = groups()
    whitened, unit = (fit(features, **{name: True}).model.project(features) for name in ("whiten", "l2_normalize"))
    np.testing.assert_allclose(whitened.var(axis=0, ddof=1), 1, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)


def test_renaming_clusters_keeps_the_partition():
    features = groups()
    model = fit(features).model
    new_id = np.array([2, 0, 3, 1, 4])
    np.testing.assert_array_equal(model.with_cluster_order(new_id).assign(features), new_id[model.assign(features)])


def test_the_number_of_threads_changes_nothing():
    features, fits = groups(60_001, 12, 10, 4), []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fits.append(fit(features, clusters=6))
    np.testing.assert_array_equal(fits[0].model.centroid_KP, fits[1].model.centroid_KP)
    assert fits[0].inertia == fits[1].inertia
