"""The flag's level is what it says on rows of the same population, and it fires on rows that are not of it."""

import numpy as np
import pytest
from support.clusterings import Population, cluster_rows

from dcam_dist.clustering.outliers import MOST_SCORES, OutlierRule, outlier_rule
from dcam_dist.clustering.placing import Placement, place


def p_values(train, new, **options):
    model = cluster_rows(train, **options).model
    rule, _ = outlier_rule(train, model)
    return rule.p_values(place(new, model))


@pytest.mark.parametrize(("count", "level", "most"), [(60, 0.05, 0.09), (240, 0.05, 0.075), (1500, 0.01, 0.015)])
@pytest.mark.parametrize("options", [{}, {"whiten": True}, {"l2_normalize": True}])
def test_of_new_rows_of_the_same_population_the_level_is_flagged(count, level, most, options):
    """The mean over populations. Scored as they lie, 60 training rows would let 0.16 of new rows be flagged at 0.05."""
    rates = [
        (p_values(Population.of(seed).rows(count, 0), Population.of(seed).rows(2000, 1), **options) <= level).mean()
        for seed in range(8)
    ]
    assert level * 0.6 <= np.mean(rates) <= most


def test_rows_that_are_shifted_are_flagged_in_kept_and_in_dropped_directions():
    population = Population.of(3)
    train, new = population.rows(1500, 0), population.rows(400, 1)
    model = cluster_rows(train).model
    rule, _ = outlier_rule(train, model)
    kept = model.components_PC[-1]
    dropped = population.axes_CC[-1] - (population.axes_CC[-1] @ model.components_PC.T) @ model.components_PC
    for direction in (kept, dropped / np.linalg.norm(dropped)):
        shifted = new + (12 * direction * model.scale_C).astype(np.float32)
        assert (rule.p_values(place(shifted, model)) <= 0.01).mean() > 0.95
    # the clustering itself sees nothing of the second shift: it is the residual that tells
    unseen = place(shifted, model)
    assert np.abs(unseen.distance_N - place(new, model).distance_N).max() < 0.5


def test_other_populations_are_flagged():
    train = Population.of(0).rows(1500, 0)
    for other in (Population.of(1).rows(300, 1), np.zeros((5, 64), np.float32) + 9, train[:300] * 3):
        assert (p_values(train, other) <= 0.01).mean() > 0.9


def test_a_tight_cluster_has_its_own_measure():
    """A row at a distance that is usual beside a broad cluster is far out beside a tight one."""
    rng = np.random.default_rng(0)
    tight, broad = rng.normal(0, 0.1, (500, 4)), rng.normal(0, 3, (500, 4)) + 20
    train = np.concatenate([tight, broad]).astype(np.float32)
    p_N = p_values(train, np.array([[3, 0, 0, 0], [23, 20, 20, 20]], np.float32), clusters=2, pca_components=4)
    assert p_N[0] <= 0.01 < p_N[1]


@pytest.mark.parametrize("count", [30, 99, 150])
def test_p_values_of_few_rows_have_a_floor(count):
    rows = Population.of(0).rows(count, 0)
    rule, score_N = outlier_rule(rows, cluster_rows(rows).model)
    assert rule.smallest_p == 1 / (count + 1)
    assert rule.p_values(place(rows + 100, cluster_rows(rows).model)).min() == rule.smallest_p
    within = rule.p_values_within(score_N)
    assert (within.min(), within.max()) == (1 / count, 1)
    assert within.argmin() == score_N.argmax()


def test_of_many_rows_some_scores_are_kept():
    rows = Population.of(0, channels=8).rows(3 * MOST_SCORES, 0)
    rule, score_N = outlier_rule(rows, cluster_rows(rows, pca_components=4).model)
    assert len(rule.score_M) == MOST_SCORES
    assert (rule.score_M[0], rule.score_M[-1]) == (score_N.min(), score_N.max())
    for level in (0.5, 0.1, 0.01):
        assert (rule.p_values_within(score_N) <= level).mean() == pytest.approx(level, rel=0.02)


def test_constant_rows_and_single_members():
    """Quantiles without a width: what is beyond them is infinitely far, what is not is at 0."""
    same = np.ones((50, 4), np.float32)
    p_N = p_values(same, np.concatenate([same[:1], same[:1] + 1]), clusters=2, pca_components=2)
    assert p_N.tolist() == [1, 1 / 51]
    alone = np.concatenate([Population.of(0).rows(40, 0), np.full((1, 64), 50, np.float32)])
    _, score_N = outlier_rule(alone, cluster_rows(alone).model)
    assert np.isfinite(score_N).all() and score_N.argmax() == 40  # left out, it would have no cluster of its own


def test_the_score_s_scale():
    rule = OutlierRule(np.array([[1.0, 3.0], [10.0, 20.0]]), np.array([5.0, 6.0]), np.array([0.0, 1.0, 2.0]))
    placed = Placement(np.array([0, 1, 0]), np.array([3.0, 10.0, 1.0]), np.ones(3), np.array([5.0, 7.0, 5.0]))
    assert rule.scores(placed).tolist() == [1, 2, 0]
    assert rule.p_values(placed).tolist() == [3 / 4, 2 / 4, 4 / 4]
