"""Pairs of clusters, against Dunn's formula written out and scipy."""

import numpy as np
import pytest
from scipy import stats

from dcam_dist.evaluation.association.groups import group_test
from dcam_dist.evaluation.association.pairwise import pair_tests


def test_dunns_z_for_two_clusters_is_the_rank_sum_test_and_its_square_is_kruskal_wallis():
    rng = np.random.default_rng(3)
    values, cluster = np.round(rng.normal(size=40), 1), np.repeat([0, 2], [15, 25])
    (found,) = pair_tests(values, cluster)
    expected = stats.mannwhitneyu(values[:15], values[15:], method="asymptotic", use_continuity=False)
    assert (found.first, found.second, found.n_first, found.n_second) == (0, 2, 15, 25)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.statistic**2 == pytest.approx(group_test(values, cluster).statistic)
    greater = (values[:15, None] > values[None, 15:]).mean() - (values[:15, None] < values[None, 15:]).mean()
    assert found.size == pytest.approx(greater)


def test_the_ranks_are_those_of_all_clusters():
    values, cluster = np.arange(9.0), np.repeat([0, 1, 2], 3)
    pairs = {(one.first, one.second): one for one in pair_tests(values, cluster)}
    assert len(pairs) == 3
    error = (9 * 10 / 12 * 2 / 3) ** 0.5
    assert pairs[0, 1].statistic == pytest.approx(-3 / error)
    assert pairs[0, 2].statistic == pytest.approx(-6 / error)
    assert (pairs[0, 2].size, pairs[0, 2].effect) == (-1.0, "Cliff's delta")


def test_categories_are_compared_two_by_two_and_what_does_not_vary_is_not():
    values = np.array(["a"] * 10 + ["b"] * 10 + ["b"] * 10)
    pairs = pair_tests(values, np.repeat([0, 1, 2], 10))
    assert [(one.test, np.isnan(one.p_value)) for one in pairs] == [
        ("chi-square", False),
        ("chi-square", False),
        ("", True),
    ]
    assert pairs[0].size == pytest.approx(1.0)
    assert pair_tests(np.full(6, "a"), np.repeat([0, 1], 3)) == ()
    assert pair_tests(np.full(6, np.nan), np.repeat([0, 1], 3)) == ()
