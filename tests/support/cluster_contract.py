"""What every clustering backend must do, as checks of a ``fit``; run in this process, or on every rank of several.

A check raises ``AssertionError``. Where two backends may rightly differ (which local minimum of k-means is met), the
data are such that they must not.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
from sklearn.metrics import adjusted_rand_score

from dcam_dist.clustering import ALONE, ArrayRows, ClusterFit
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.sklearn_backend import SklearnBackend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError

Fit = Callable[[Floats, ClusteringConfig, int], ClusterFit]
SETTINGS = {"clusters": 5, "pca_components": 6}


def settings(**changes) -> ClusteringConfig:
    return ClusteringConfig(**{**SETTINGS, **changes})


def groups(rows: int = 601, clusters: int = 5, channels: int = 20, seed: int = 0) -> Floats:
    """Well separated groups of unequal sizes; 601 rows are divided evenly among no number of ranks."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 8, (clusters, channels))
    share = np.arange(1, clusters + 1) / np.arange(1, clusters + 1).sum()
    return (centres[rng.choice(clusters, rows, p=share)] + rng.normal(0, 1, (rows, channels))).astype(np.float32)


def noise(rows: int = 2003, channels: int = 6, seed: int = 1) -> Floats:
    """Nothing to find: many local minima of about the same inertia."""
    return np.random.default_rng(seed).normal(size=(rows, channels)).astype(np.float32)


def reference(features: Floats, chosen: ClusteringConfig, seed: int) -> ClusterFit:
    return SklearnBackend().fit(ArrayRows(features), chosen, seed, ALONE)


def alike(fit: Fit, features: Floats, **changes) -> None:
    chosen = settings(**changes)
    found, expected = fit(features, chosen, 3), reference(features, chosen, 3)
    assert adjusted_rand_score(found.model.assign(features), expected.model.assign(features)) >= 0.99
    assert abs(found.inertia / expected.inertia - 1) <= 0.01
    assert found.model.components_PC.shape == expected.model.components_PC.shape
    np.testing.assert_allclose(found.model.components_PC, expected.model.components_PC, atol=1e-3)
    np.testing.assert_allclose(found.model.variance_P, expected.model.variance_P, rtol=1e-3)


def separable_groups(fit: Fit) -> None:
    alike(fit, groups())


def whitening_and_unit_length(fit: Fit) -> None:
    for whiten, l2 in product((False, True), repeat=2):
        alike(fit, groups(), whiten=whiten, l2_normalize=l2)


def a_share_of_the_variance(fit: Fit) -> None:
    for share in (0.5, 0.9, 0.999):
        alike(fit, groups(), pca_components=share)


def more_components_than_there_are(fit: Fit) -> None:
    alike(fit, groups(), pca_components=500)
    few = groups(7, channels=30)
    assert len(fit(few, settings(clusters=2, pca_components=500), 0).model.components_PC) == 7


def random_starts(fit: Fit) -> None:
    alike(fit, groups(), init="random", restarts=20)


def signs_are_fixed(fit: Fit) -> None:
    components = fit(groups(), settings(), 0).model.components_PC
    assert (components[np.arange(len(components)), np.abs(components).argmax(axis=1)] > 0).all()


def inertia_without_structure(fit: Fit) -> None:
    for clusters in (2, 8):
        chosen = settings(clusters=clusters, iterations=100)
        assert abs(fit(noise(), chosen, 0).inertia / reference(noise(), chosen, 0).inertia - 1) <= 0.01


def the_same_seed_the_same_bits(fit: Fit) -> None:
    one, two = (fit(noise(), settings(), 7) for _ in range(2))
    np.testing.assert_array_equal(one.model.centroid_KP, two.model.centroid_KP)
    assert one.inertia == two.inertia
    other = fit(noise(), settings(restarts=1), 8).model.centroid_KP
    assert not np.array_equal(other, fit(noise(), settings(restarts=1), 9).model.centroid_KP)


def the_model_says_what_the_fit_says(fit: Fit) -> None:
    for features in (groups(), noise()):
        found = fit(features, settings(), 0)
        label_N = found.model.assign(features)
        np.testing.assert_array_equal(np.bincount(label_N, minlength=5), found.size_K)
        distance_N = found.model.distances(found.model.project(features)).min(axis=1)
        assert np.isclose(np.square(distance_N, dtype=np.float64).sum(), found.inertia, rtol=1e-4)


def collapse_to_one_cluster(fit: Fit) -> None:
    for whiten in (False, True):
        found = fit(np.full((20, 5), 3.0, np.float32), settings(whiten=whiten, l2_normalize=whiten), 0)
        assert sorted(found.size_K.tolist()) == [0, 0, 0, 0, 20] and found.repaired == 0
        assert np.isfinite(found.model.centroid_KP).all() and found.inertia < 1e-6


def duplicate_rows(fit: Fit) -> None:
    for distinct in (3, 5, 7):
        features = np.repeat(noise(distinct, 4, 2) * 5, 30, axis=0)
        found = fit(features, settings(pca_components=4), 0)
        assert np.count_nonzero(found.size_K) == min(5, distinct) and (found.size_K % 30 == 0).all()


def constant_columns(fit: Fit) -> None:
    features = groups()
    features[:, 3], features[:, 8] = 7, 0
    alike(fit, features)
    found = fit(features, settings(), 0).model
    assert found.scale_C[3] == 1 and np.abs(found.components_PC[:, [3, 8]]).max() < 1e-6


def a_large_mean(fit: Fit) -> None:
    alike(fit, groups() + np.float32(5000))


def as_many_rows_as_clusters(fit: Fit) -> None:
    features = noise(5, 8, 3) * 10
    found = fit(features, settings(), 0)
    assert found.size_K.tolist() == [1] * 5 and found.inertia < 1e-6


def whitening_of_axes_without_variance(fit: Fit) -> None:
    """Shares that add up to one, and fewer rows than channels, have an axis on which only rounding varies."""
    shares = np.abs(groups()) + 0.1
    shares /= shares.sum(axis=1, keepdims=True)
    few = groups(11, 3, 12, 5)
    for features in (shares, few):
        found = fit(features, settings(clusters=3, pca_components=features.shape[1], whiten=True), 3)
        points = found.model.project(features)
        assert np.abs(points[:, -1]).max() < 1e-3
        np.testing.assert_allclose(points[:, :-2].var(axis=0, ddof=1), 1, rtol=1e-2)
    chosen = settings(clusters=5, pca_components=6, whiten=True)
    found, expected = fit(shares, chosen, 3), reference(shares, chosen, 3)
    assert adjusted_rand_score(found.model.assign(shares), expected.model.assign(shares)) >= 0.99
    assert abs(found.inertia / expected.inertia - 1) <= 0.01


def signs_of_equal_loadings(fit: Fit) -> None:
    """Both axes of two scaled channels have loadings of one size."""
    found = fit(groups(500, 4, 2, 9), settings(clusters=4, pca_components=2), 0).model
    assert (found.components_PC[:, 0] > 0).all()


def too_few_rows_are_refused(fit: Fit) -> None:
    assert "4 rows cannot form 5 clusters" in refusal(fit, groups(4))


def values_that_are_not_finite_are_refused(fit: Fit) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        features = groups()
        features[[411, 590], 2] = bad
        assert "features of 2 rows are not finite (first: row 411)" in refusal(fit, features)


def refusal(fit: Fit, features: Floats) -> str:
    try:
        fit(features, settings(), 0)
    except DataError as error:
        return str(error)
    return "not refused"


CHECKS: dict[str, Callable[[Fit], None]] = {
    check.__name__.replace("_", " "): check
    for check in (
        separable_groups,
        whitening_and_unit_length,
        a_share_of_the_variance,
        more_components_than_there_are,
        random_starts,
        signs_are_fixed,
        inertia_without_structure,
        the_same_seed_the_same_bits,
        the_model_says_what_the_fit_says,
        collapse_to_one_cluster,
        duplicate_rows,
        constant_columns,
        a_large_mean,
        as_many_rows_as_clusters,
        whitening_of_axes_without_variance,
        signs_of_equal_loadings,
        too_few_rows_are_refused,
        values_that_are_not_finite_are_refused,
    )
}
