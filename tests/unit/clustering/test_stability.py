"""Stability over seeds and resamples: what is stable, what is not, and every figure against a plain count."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from dcam_dist.clustering import ALONE, ArrayRows
from dcam_dist.clustering.consensus import Consensus, CountedPairs
from dcam_dist.clustering.sklearn_backend import SklearnBackend
from dcam_dist.clustering.stability import jaccard, spread, stability
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError


def groups(count=3, each=20, channels=5, seed=0):
    rng = np.random.default_rng(seed)
    centres = 9 * rng.normal(size=(count, channels))
    return (np.repeat(centres, each, axis=0) + rng.normal(size=(count * each, channels))).astype(np.float32)


def measured(features, clusters, **options):
    settings = ClusteringConfig(clusters=clusters, pca_components=3, restarts=options.pop("restarts", 3))
    return stability(features, settings, **{"seed": 0, "seeds": 4, "resamples": 12, **options})


def test_groups_that_are_there_come_again():
    found = measured(groups(), 3)
    assert (found.seed_ari == 1).all() and len(found.seed_ari) == 6
    assert (found.resample_ari_R == 1).all() and len(found.resample_ari_R) == 12
    assert (found.jaccard_mean == 1).all()
    assert found.consensus.ambiguous_share == 0
    share, same = found.consensus.share_MM, found.label_N[:, None] == found.label_N
    assert (share[same & ~np.isnan(share)] == 1).all() and (share[~same & ~np.isnan(share)] == 0).all()
    assert np.isnan(share).mean() < 0.05  # pairs that no resample has drawn
    assert found.over_seeds == found.over_resamples == spread(np.ones(1))


def test_noise_does_not():
    noise = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    found = measured(noise, 5, restarts=1)
    assert found.over_seeds.median < 0.9
    assert found.over_resamples.low <= found.over_resamples.median < 0.7
    assert found.over_resamples.low < found.over_resamples.high
    assert found.jaccard_mean.max() < 0.85
    assert found.consensus.ambiguous_share > 0.2


def test_one_cluster_that_is_there_stands_out_among_those_that_are_not():
    rng = np.random.default_rng(2)
    real, split = rng.normal(size=(30, 4)) + 12, rng.normal(size=(60, 4))
    found = measured(np.concatenate([real, split]).astype(np.float32), 3)
    by_hand = found.jaccard_mean[found.label_N[0]]
    assert by_hand == 1
    assert sorted(found.jaccard_mean)[1] < 0.95


def test_the_reference_is_the_clustering_of_the_seed_itself():
    features = groups()
    settings = ClusteringConfig(clusters=3, pca_components=3, restarts=3)
    found = stability(features, settings, seed=7, seeds=2, resamples=1)
    model = SklearnBackend().fit(ArrayRows(features), settings, 7, ALONE).model
    np.testing.assert_array_equal(found.reference.model.centroid_KP, model.centroid_KP)
    np.testing.assert_array_equal(found.label_N, model.assign(features))


def test_it_is_deterministic_and_tells_of_each_clustering():
    features, told = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32), []
    one = measured(features, 4, fitted=lambda: told.append(1))
    same, other = measured(features, 4), measured(features, 4, seed=1)
    assert len(told) == 4 + 12
    np.testing.assert_array_equal(one.resample_ari_R, same.resample_ari_R)
    np.testing.assert_array_equal(one.consensus.share_MM, same.consensus.share_MM)
    assert not np.array_equal(one.resample_ari_R, other.resample_ari_R)


def test_ids_are_matched_before_clusters_are_compared(monkeypatch):
    """On noise too no permutation of the ids would give more shared cases than the one that was taken."""
    noise = np.random.default_rng(3).normal(size=(60, 3)).astype(np.float32)
    seen = []
    monkeypatch.setattr(
        "dcam_dist.clustering.stability.jaccard",
        lambda first, second, clusters: seen.append((first, second)) or jaccard(first, second, clusters),
    )
    found = measured(noise, 3, resamples=5)
    assert len(seen) == 5
    for (first, second), row in zip(seen, found.jaccard_RK, strict=True):
        assert len(first) < 60  # drawn cases alone
        expected = [jaccard_score(first == k, second == k) for k in range(3)]
        np.testing.assert_allclose(row, expected)
        shared = [(first == np.array(renamed)[second]).sum() for renamed in permutations(range(3))]
        assert (first == second).sum() == max(shared) > min(shared)


def test_jaccard_of_ids_that_do_not_occur_is_nan():
    first, second = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 3])
    np.testing.assert_allclose(jaccard(first, second, 5), [1 / 2, 1 / 3, np.nan, 0, np.nan])


def test_a_pair_is_counted_where_both_were_drawn():
    pairs = CountedPairs(np.array([0, 1, 3]))
    pairs.add(np.array([0, 0, 9, 1]), np.array([True, True, True, True]))
    pairs.add(np.array([0, 1, 9, 1]), np.array([True, True, False, False]))
    share = pairs.consensus().share_MM
    np.testing.assert_allclose(share, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    assert pairs.consensus().ambiguous_share == pytest.approx(1 / 3)


def test_pairs_that_were_never_drawn_together_are_unknown():
    pairs = CountedPairs(np.arange(2))
    pairs.add(np.array([0, 0]), np.array([True, False]))
    assert np.isnan(pairs.consensus().share_MM[0, 1])
    assert np.isnan(pairs.consensus().ambiguous_share)
    assert Consensus(np.eye(2, dtype=np.float32), np.arange(2)).ambiguous_share == 0


def test_above_the_bound_the_consensus_is_that_of_a_sample():
    features = groups()
    whole, some = measured(features, 3), measured(features, 3, consensus_cases=25)
    row_M = some.consensus.row_M
    assert len(set(row_M)) == 25 and (np.sort(row_M) == row_M).all()
    np.testing.assert_array_equal(some.consensus.share_MM, whole.consensus.share_MM[np.ix_(row_M, row_M)])


def test_a_spread_leaves_out_what_is_undefined():
    found = spread(np.array([np.nan, *np.arange(101)]))
    assert (found.median, found.low, found.high) == (50, 2.5, 97.5)
    assert np.isnan(spread(np.array([np.nan])).median)


def test_too_few_of_anything_is_refused():
    with pytest.raises(ValueError, match="at least 2 seeds and 1 resample, not 1 and 5"):
        measured(groups(), 3, seeds=1, resamples=5)
    with pytest.raises(DataError, match="2 rows cannot form 3 clusters"):
        measured(groups()[:2], 3)
