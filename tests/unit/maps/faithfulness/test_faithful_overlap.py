"""Agreement with a target: against scikit-learn, and where the answer is known."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from dcam_dist.maps.faithfulness.overlap import Rule, Sample, average_precision, best_threshold, dice, fit_rules
from dcam_dist.maps.faithfulness.similarity import spearman, ssim, varies


@pytest.fixture
def voxels():
    rng = np.random.default_rng(3)
    value = np.round(rng.normal(size=500), 1)  # with ties
    return value, (rng.random(500) < 1 / (1 + np.exp(-value))).astype(float)


def test_average_precision_is_scikit_learns(voxels):
    value, share = voxels
    assert average_precision(value, share) == pytest.approx(average_precision_score(share, value))


def test_a_share_is_so_much_of_a_hit_and_the_rest_of_a_miss(voxels):
    value, _ = voxels
    share = np.random.default_rng(4).random(value.size)
    both = np.concatenate([share, 1 - share])
    expected = average_precision_score(np.repeat([1, 0], value.size), np.tile(value, 2), sample_weight=both)
    assert average_precision(value, share) == pytest.approx(expected)


def test_a_perfect_map_has_1_an_inverted_one_the_least_and_a_constant_one_chance():
    share = np.array([0.0] * 30 + [1.0] * 10)
    assert average_precision(share, share) == 1
    last = np.mean([found / (30 + found) for found in range(1, 11)])
    assert average_precision(np.arange(40.0)[::-1], share) == pytest.approx(last)
    assert average_precision(np.zeros(40), share) == pytest.approx(0.25)
    assert np.isnan(average_precision(share, np.zeros(40)))


def test_the_best_threshold_is_the_best_of_all(voxels):
    value, share = voxels
    found = best_threshold(value, share)
    scores = {threshold: dice(value >= threshold, share) for threshold in np.unique(value)}
    assert scores[found] == max(scores.values())
    assert best_threshold(value, np.zeros(500)) == float("inf")
    assert np.isnan(dice(value >= 0, np.zeros(500)))


def sample(class_id, *, points_at, n=200):
    value = np.random.default_rng([class_id, n]).random(n)
    share = (value > 0.8 if points_at else value < 0.2).astype(float)
    forward, inverted = average_precision(value, share), average_precision(-value, share)
    return Sample(class_id, value, share, forward, inverted)


def test_each_class_is_read_in_the_direction_of_its_own_training_cases():
    nothing = Sample(2, np.arange(9.0), np.zeros(9), float("nan"), float("nan"))
    rules = fit_rules([*[sample(0, points_at=True)] * 5, *[sample(1, points_at=False)] * 6, nothing], 4)
    assert [rule.sign for rule in rules[:2]] == [1, -1]
    assert rules[0].threshold == pytest.approx(0.8, abs=0.03) and rules[1].threshold == pytest.approx(-0.2, abs=0.03)
    assert rules[2] == rules[3] and rules[2].sign == -1  # all training cases together: most are inverted
    assert [rule.cases for rule in rules] == [5, 6, 0, 0]


def test_four_cases_decide_no_direction_of_their_own():
    rules = fit_rules([*[sample(0, points_at=True)] * 4, *[sample(1, points_at=False)] * 6], 2)
    assert [(rule.sign, rule.cases) for rule in rules] == [(-1, 4), (-1, 6)]
    assert rules[0].threshold == pytest.approx(rules[1].threshold, abs=0.1)


def test_without_any_target_a_map_is_read_as_it_is_and_predicts_nothing():
    assert fit_rules([], 2) == (Rule(1, float("inf"), 0),) * 2


def test_a_map_that_only_rounding_moves_does_not_vary():
    constant = np.full(50, 0.3, np.float32)
    assert not varies(constant) and not varies(np.zeros(50)) and varies(np.arange(50.0))
    constant[7] = np.nextafter(constant[7], np.float32(1))
    assert not varies(constant) and np.isnan(spearman(constant, np.arange(50.0)))


def test_a_map_that_only_rounding_moves_has_no_structure():
    lungs = np.ones((6, 8, 8), bool)
    rounded, other = np.full(lungs.shape, 0.3, np.float32), np.random.default_rng(7).normal(size=lungs.shape)
    rounded[::2] = np.nextafter(np.float32(0.3), np.float32(1))
    assert np.isnan(ssim(rounded, other, lungs)) and np.isnan(ssim(other, rounded, lungs))


def test_rank_correlation_and_structural_similarity_of_a_map_with_itself_are_1():
    rng = np.random.default_rng(5)
    lungs = rng.random((6, 8, 8)) < 0.7
    map_DHW = rng.normal(size=lungs.shape)
    assert spearman(map_DHW[lungs], np.exp(map_DHW[lungs])) == pytest.approx(1)
    assert spearman(map_DHW[lungs], -map_DHW[lungs]) == pytest.approx(-1)
    assert ssim(map_DHW, 3 * map_DHW + 7, lungs) == pytest.approx(1)
    other = np.where(lungs, rng.normal(size=lungs.shape), 0)
    assert abs(ssim(map_DHW, other, lungs)) < 0.5
    assert np.isnan(spearman(map_DHW[lungs], np.ones(lungs.sum()))) and np.isnan(ssim(map_DHW, lungs * 1.0, lungs))


def test_what_lies_outside_of_the_lungs_does_not_count():
    rng = np.random.default_rng(6)
    lungs = rng.random((6, 8, 8)) < 0.7
    first, second = rng.normal(size=(2, *lungs.shape))
    assert ssim(first, second, lungs) == pytest.approx(ssim(np.where(lungs, first, 1e6), second, lungs))
