"""The gap statistic: where it is large, which K it takes, and that its reference is what the paper says."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from dcam_dist.clustering.gap import GapPoint, gap_at, gap_choice, gap_reference
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError

SETTINGS = ClusteringConfig(pca_components=4, restarts=4)


def groups(count, each=30, channels=6, seed=1, apart=8.0):
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(count, channels))
    return (np.repeat(centres, each, axis=0) + rng.normal(size=(count * each, channels))).astype(np.float32)


def curve(features, last, settings=SETTINGS, references=10, seed=0):
    reference = gap_reference(features)
    return [
        gap_at(features, reference, settings, clusters=k, references=references, seed=seed) for k in range(1, last + 1)
    ]


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("options", [{}, {"whiten": True}, {"backend": "torch"}])
def test_it_takes_the_number_of_groups(count, options):
    settings = SETTINGS.model_copy(update=options)
    assert gap_choice(curve(groups(count), count + 2, settings)) == count


def test_one_stretched_group_is_one():
    rng = np.random.default_rng(1)
    stretched = (rng.normal(size=(200, 1)) * [[9.0, 7.0, 5.0]] + rng.normal(size=(200, 3))).astype(np.float32)
    assert gap_choice(curve(stretched, 4)) == 1


def test_the_smallest_within_one_error_is_taken_and_none_while_the_gap_rises():
    def points(*gaps, spread=0.0):
        return [GapPoint(k, 0.0, np.array([gap - spread, gap + spread])) for k, gap in enumerate(gaps, start=1)]

    assert gap_choice(points(0.1, 0.5, 0.9, 0.8)) == 3
    assert gap_choice(points(0.1, 0.5, 0.9, 0.8, spread=0.4)) == 1
    assert gap_choice(points(0.1, 0.5, 0.9)) is None


def test_the_gap_is_that_of_an_independent_count():
    features = groups(3, apart=3.0)
    reference = gap_reference(features)
    (point,) = [gap_at(features, reference, SETTINGS, clusters=3, references=6, seed=4)]

    def log_dispersion(rows):
        scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
        return np.log(KMeans(3, n_init=10, random_state=0).fit(PCA(4).fit_transform(scaled)).inertia_)

    assert point.log_dispersion == pytest.approx(log_dispersion(features), abs=0.02)
    assert len(point.reference_B) == 6
    assert point.gap == pytest.approx(point.reference_B.mean() - point.log_dispersion)
    assert point.error == pytest.approx(point.reference_B.std() * np.sqrt(7 / 6))


def test_one_cluster_has_the_dispersion_about_the_mean():
    features = groups(2)
    point = gap_at(features, gap_reference(features), SETTINGS, clusters=1, references=2, seed=0)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    assert np.exp(point.log_dispersion) == pytest.approx(np.square(PCA(4).fit_transform(scaled)).sum(), rel=1e-4)


def test_references_fill_the_box_of_the_principal_axes():
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(400, 1)) @ [[1.0, 2.0, 0.5]] + 0.1 * rng.normal(size=(400, 3)) + 50).astype(np.float32)
    drawn = gap_reference(features).draw(0)
    assert drawn.shape == features.shape and drawn.dtype == np.float32
    centre, scale = features.mean(axis=0), features.std(axis=0)
    axes = PCA(3, svd_solver="full").fit((features - centre) / scale).components_
    real, made = (((rows - centre) / scale) @ axes.T for rows in (features, drawn))
    low, high = real.min(axis=0), real.max(axis=0)
    assert ((made >= low - 1e-3) & (made <= high + 1e-3)).all()
    share = (made - low) / (high - low)
    np.testing.assert_allclose(share.mean(axis=0), 0.5, atol=0.06)
    np.testing.assert_allclose(share.std(axis=0), 12**-0.5, atol=0.03)


def test_a_constant_channel_stays_constant_in_the_references():
    features = np.column_stack([groups(2), np.zeros(60), np.full(60, 7.3)]).astype(np.float32)
    drawn = gap_reference(features).draw(5)
    assert (drawn[:, -2] == 0).all() and (drawn[:, -1] == np.float32(7.3)).all()
    assert gap_choice(curve(features, 4)) == 2


def test_it_is_deterministic_and_every_k_meets_the_same_references():
    features = groups(2)
    one, same, other = (curve(features, 2, references=3, seed=seed) for seed in (0, 0, 1))
    assert [p.gap for p in one] == [p.gap for p in same] != [p.gap for p in other]
    reference = gap_reference(features)
    np.testing.assert_array_equal(reference.draw(9), reference.draw(9))


def test_as_many_distinct_cases_as_clusters_have_an_infinite_gap():
    features = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    points = curve(features, 4)
    assert points[1].gap < points[2].gap == np.inf
    assert gap_choice(points) == 3


def test_features_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="all 5 cases have the same features"):
        gap_reference(np.ones((5, 2), np.float32))
