"""Description and tests of one variable over the clusters, against scipy's own and by hand."""

import numpy as np
import pytest
from scipy import stats

from dcam_dist.evaluation.association.groups import describe, family_q_values, group_test, q_values


def test_a_numeric_variable_is_described_by_cluster_and_an_empty_cluster_too():
    values = np.array([1.0, 2.0, 3.0, 10.0, np.nan, 7.0])
    first, second, empty = describe(values, np.array([0, 0, 0, 0, 1, -100]), 3)
    assert (first.n, first.missing, first.median, first.lower, first.upper) == (4, 0, 2.5, 1.75, 4.75)
    assert (first.mean, first.sd) == (4.0, pytest.approx(np.std([1, 2, 3, 10], ddof=1)))
    assert (second.n, second.missing, empty.n, empty.missing) == (0, 1, 0, 0)
    assert np.isnan([second.median, second.sd, empty.mean]).all()


def test_a_category_is_counted_with_every_level_in_every_cluster():
    values = np.array(["f", "m", "f", "", "x"])
    first, second = describe(values, np.array([0, 0, 1, 1, -100]), 2)
    assert (first.counts, first.n, first.missing) == ({"f": 1, "m": 1}, 2, 0)
    assert (second.counts, second.n, second.missing) == ({"f": 1, "m": 0}, 1, 1)


def test_kruskal_wallis_with_ties_and_gaps_is_scipys():
    rng = np.random.default_rng(0)
    values, cluster = np.round(rng.normal(size=80), 1), rng.integers(0, 4, 80)
    values[:5], cluster[5:8] = np.nan, -100
    found = group_test(values, cluster)
    used = np.isfinite(values) & (cluster >= 0)
    expected = stats.kruskal(*(values[used & (cluster == one)] for one in range(4)))
    assert (found.statistic, found.p_value) == pytest.approx(tuple(expected))
    assert (found.test, found.df, found.n) == ("Kruskal-Wallis", 3, 72)
    assert found.size == pytest.approx(expected.statistic * (72 + 1) / (72**2 - 1))


def test_small_clusters_are_permuted_close_to_the_exact_p():
    values, cluster = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), np.array([0, 0, 0, 1, 1, 1, 1])
    found = group_test(values, cluster)
    assert found.test == "Kruskal-Wallis, permuted"
    assert found.p_value == pytest.approx(2 / 35, abs=0.008)  # 2 of the 35 ways to choose three of seven


def test_a_full_table_is_tested_by_chi_square_and_a_sparse_one_exactly():
    rng = np.random.default_rng(1)
    cluster, values = np.repeat([0, 1, 2], 40), rng.choice(["a", "b"], 120)
    table = np.array([[np.sum(values[cluster == k] == level) for level in "ab"] for k in range(3)])
    found, expected = group_test(values, cluster), stats.chi2_contingency(table, correction=False)
    assert (found.test, found.df) == ("chi-square", 2)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.size == pytest.approx(stats.contingency.association(table, "cramer"))

    few, groups = np.array(list("aaaabbbb")), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    fisher = group_test(few, groups)
    assert (fisher.test, fisher.p_value, fisher.size) == ("Fisher", pytest.approx(2 / 70), 1.0)

    sparse = group_test(np.array(list("aabbcc")), np.array([0, 0, 1, 1, 2, 2]))
    assert sparse.test == "chi-square, permuted"
    assert sparse.p_value == pytest.approx(6 / 90, abs=0.01)  # 6 of the 90 ways to share out three pairs
    assert sparse.size == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "cluster", "note"),
    [
        (np.full(4, np.nan), np.array([0, 0, 1, 1]), "no values"),
        (np.ones(4), np.array([0, 0, 1, 1]), "constant"),
        (np.arange(4.0), np.array([0, 0, 0, 0]), "values in one cluster only"),
        (np.array(["", "", ""]), np.array([0, 1, 1]), "no values"),
        (np.array(["a", "a"]), np.array([0, 1]), "constant"),
    ],
)
def test_where_no_test_can_be_made_it_says_why(values, cluster, note):
    found = group_test(values, cluster)
    assert (found.test, found.note) == ("", note)
    assert np.isnan(found.p_value)


@pytest.mark.parametrize(
    ("sizes", "times", "most"), [((20, 20, 20), 400, 33), ((3, 4, 12), 60, 9)], ids=["approximated", "permuted"]
)
def test_null_data_are_called_different_about_as_often_as_said(sizes, times, most):
    rng = np.random.default_rng(7)
    cluster = np.repeat(range(len(sizes)), sizes)
    p = np.array([group_test(rng.normal(size=cluster.size), cluster).p_value for _ in range(times)])
    assert (p < 0.05).sum() <= most  # the 99.9th percentile of a binomial count
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_among_many_null_variables_hardly_any_has_a_small_q():
    rng = np.random.default_rng(11)
    cluster = np.repeat([0, 1, 2], 20)
    found = []
    for _ in range(40):
        p = [group_test(rng.normal(size=60), cluster).p_value for _ in range(20)]
        found.append((q_values(np.array(p)) < 0.05).any())
    assert sum(found) <= 7  # 2 of 40 studies expected


def test_planted_differences_have_a_small_q_among_null_variables():
    rng = np.random.default_rng(12)
    cluster = np.repeat([0, 1, 2], 20)
    shifts = [1.5] * 4 + [0.0] * 16
    q = q_values(np.array([group_test(rng.normal(size=60) + by * cluster, cluster).p_value for by in shifts]))
    assert (q[:4] < 0.001).all()
    assert (q[4:] < 0.05).sum() <= 1


def test_q_values_are_those_of_benjamini_and_hochberg_and_gaps_do_not_count():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    assert q_values(p)[[0, 2, 3, 4]] == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert np.isnan(q_values(p)[1])
    assert np.isnan(q_values(np.array([np.nan]))).all()


def test_sure_findings_of_one_family_do_not_lend_their_rate_to_another():
    rng, clinical, shared = np.random.default_rng(0), [], []
    for _ in range(400):
        p = np.r_[np.full(27, 1e-8), rng.random(8)]
        clinical.append((family_q_values(p, ["densitometry"] * 27 + ["table"] * 8)[27:] < 0.05).any())
        shared.append((q_values(p)[27:] < 0.05).any())
    assert np.mean(clinical) < 0.08  # 0.05 is said
    assert np.mean(shared) > 0.2
