import time

import numpy as np
import pytest

from dcam_dist import metrics
from dcam_dist.metrics import bootstrap_interval, permutation_null
from dcam_dist.types import UNASSIGNED

SIX = {"clusters": 6, "labels": 6}


def balanced(n: int) -> np.ndarray:
    return np.arange(n) % 6


def test_null_of_balanced_random_labels_is_far_above_the_majority_share():
    rng = np.random.default_rng(0)
    cluster, label = rng.integers(6, size=48), balanced(48)
    null = permutation_null(cluster, label, cluster, label, **SIX, permutations=400, seed=0)
    assert null.train.mean == pytest.approx(0.33, abs=0.02)
    assert null.train.p95 == pytest.approx(0.40, abs=0.03)
    # Scored with a matching fitted elsewhere, chance is back at one in six.
    assert null.test.mean == pytest.approx(1 / 6, abs=0.02)


def test_random_clusters_stay_below_the_95th_percentile_about_95_percent_of_the_time():
    rng, below, p_values, repeats = np.random.default_rng(1), np.zeros(2), [], 120
    for seed in range(repeats):
        train, test = rng.integers(6, size=60), rng.integers(6, size=60)
        mapping = metrics.match_clusters(train, balanced(60), **SIX)
        null = permutation_null(train, balanced(60), test, balanced(60), **SIX, permutations=100, seed=seed)
        observed = [metrics.clustering_accuracy(ids, balanced(60), mapping) for ids in (train, test)]
        below += [observed[0] <= null.train.p95, observed[1] <= null.test.p95]
        p_values.append((null.train.p_value, null.test.p_value))
    assert (below / repeats >= 0.88).all()
    assert (np.mean(np.array(p_values) <= 0.05, axis=0) <= 0.12).all()
    assert (np.mean(np.array(p_values) <= 0.5, axis=0) >= 0.3).all()


def test_perfect_clusters_reach_the_smallest_p_value():
    label = balanced(60)
    null = permutation_null(label, label, label, label, **SIX, permutations=99, seed=0)
    assert null.train.p_value == null.test.p_value == pytest.approx(0.01)


def test_a_constant_cluster_is_exactly_its_null():
    cluster, label = np.zeros(30, np.int64), np.repeat([0, 1], [20, 10])
    null = permutation_null(cluster, label, cluster, label, clusters=2, labels=2, permutations=20, seed=0)
    assert null.train.mean == null.train.p95 == pytest.approx(2 / 3)
    assert null.train.p_value == null.test.p_value == 1.0


def test_null_is_seeded_and_ignores_unlabelled_cases():
    rng = np.random.default_rng(2)
    cluster, label = rng.integers(6, size=50), balanced(50)
    longer_cluster, longer_label = np.append(cluster, [0, 3, 5]), np.append(label, [UNASSIGNED] * 3)
    one = permutation_null(cluster, label, cluster, label, **SIX, permutations=50, seed=7)
    same = permutation_null(longer_cluster, longer_label, cluster, label, **SIX, permutations=50, seed=7)
    other = permutation_null(cluster, label, cluster, label, **SIX, permutations=50, seed=8)
    assert one == same
    assert one != other


def test_unclustered_cases_count_as_misses_in_the_null_too():
    label = balanced(60)
    cluster = np.where(np.arange(60) < 30, UNASSIGNED, label)
    null = permutation_null(cluster, label, cluster, label, **SIX, permutations=50, seed=0)
    assert null.train.p95 <= 0.5
    assert null.train.p_value == pytest.approx(1 / 51)


def test_a_given_mapping_is_not_refitted():
    rng = np.random.default_rng(0)
    predicted, label = rng.integers(6, size=120), balanced(120)
    fixed = {**SIX, "permutations": 200, "seed": 0, "mapping_K": np.arange(6)}
    null = permutation_null(predicted, label, predicted, label, **fixed)
    assert null.train.mean == pytest.approx(1 / 6, abs=0.02)
    unlabelled = np.full(120, UNASSIGNED)
    null = permutation_null(predicted, unlabelled, predicted, label, **fixed)
    assert np.isnan(null.train.mean) and null.test.mean == pytest.approx(1 / 6, abs=0.02)


def test_null_without_labels():
    none, label = np.full(6, UNASSIGNED), balanced(6)
    test = permutation_null(label, label, label, none, **SIX, permutations=5, seed=0).test
    assert np.isnan([test.mean, test.p95, test.p_value]).all()
    with pytest.raises(ValueError, match="training case"):
        permutation_null(label, none, label, label, **SIX, permutations=5, seed=0)
    with pytest.raises(ValueError, match="permutation"):
        permutation_null(label, label, label, label, **SIX, permutations=0, seed=0)


def test_a_thousand_permutations_of_the_papers_cohort_are_quick():
    rng = np.random.default_rng(0)
    cluster, label = rng.integers(6, size=2500), rng.integers(6, size=2500)
    start = time.process_time()
    permutation_null(cluster[:2000], label[:2000], cluster[2000:], label[2000:], **SIX, permutations=1000, seed=0)
    assert time.process_time() - start < 5


def test_bootstrap_interval_covers_the_mean_as_the_normal_one_does():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(lambda drawn: float(values[drawn].mean()), 400, 2000, 0)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.008)
    assert high == pytest.approx(values.mean() + half, abs=0.008)


def test_bootstrap_is_seeded():
    values = np.random.default_rng(0).normal(size=50)

    def interval(seed: int) -> tuple[float, float]:
        return bootstrap_interval(lambda drawn: float(values[drawn].mean()), 50, 100, seed)

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_bootstrap_edges():
    assert np.isnan(bootstrap_interval(lambda drawn: 1.0, 0, 10, 0)).all()
    assert np.isnan(bootstrap_interval(lambda drawn: float("nan"), 5, 10, 0)).all()
    assert bootstrap_interval(lambda drawn: 1.0 if 0 in drawn else float("nan"), 2, 50, 0) == (1.0, 1.0)
    with pytest.raises(ValueError, match="resample"):
        bootstrap_interval(lambda drawn: 1.0, 5, 0, 0)
