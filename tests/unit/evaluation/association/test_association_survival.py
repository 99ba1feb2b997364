"""Survival by cluster: known hazards found, figures equal to scipy's and to formulas written out."""

import numpy as np
import pytest
from scipy import stats

from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.logrank import log_rank, log_rank_statistics
from dcam_dist.evaluation.association.survival import survival_rows

ORDER = (0, 1)


def lives(hazards, n=200, censored=0.0005, seed=0):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(range(len(hazards)), n)
    death = rng.exponential(1 / np.array(hazards)[cluster])
    leaving = rng.exponential(1 / censored, cluster.size)
    return rng, np.ceil(np.minimum(death, leaving)), (death <= leaving).astype(float), cluster


def rows_by(rows, analysis):
    return [row for row in rows if row.analysis == analysis]


def test_a_known_hazard_ratio_and_known_medians_are_found():
    _, time, event, cluster = lives([0.001, 0.002])
    rows = survival_rows(time, event, cluster, (), ORDER)
    (ratio,) = rows_by(rows, "cox")
    assert ratio.low < 2.0 < ratio.high
    assert (ratio.cluster, ratio.reference, ratio.n) == (1, 0, 200)
    for row, median in zip(rows_by(rows, "kaplan-meier"), (693.1, 346.6), strict=True):
        assert row.low < median < row.high
    assert rows_by(rows, "cox, proportionality")[0].p_value > 0.01
    assert rows_by(rows, "cox, adjusted") == []


def test_log_rank_is_scipys():
    _, time, event, cluster = lives([0.001, 0.0014], n=60)
    (found,) = rows_by(survival_rows(time, event, cluster, (), ORDER), "log-rank")
    groups = [
        stats.CensoredData(time[(cluster == k) & (event == 1)], right=time[(cluster == k) & (event == 0)])
        for k in (0, 1)
    ]
    expected = stats.logrank(*groups)
    assert found.statistic == pytest.approx(expected.statistic**2)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.n, found.events) == (120, int(event.sum()))


def test_cox_is_statsmodels():
    from statsmodels.duration.hazard_regression import PHReg

    rng, time, event, cluster = lives([0.001, 0.002, 0.004], n=60)
    age = rng.normal(60, 10, time.size)
    adjust = [Variable("age", "table", "numeric", age)]
    rows = survival_rows(time, event, cluster, adjust, (1, 0, 2))
    matrix = np.column_stack([cluster == 0, cluster == 2, age]).astype(float)
    expected = PHReg(time, matrix, status=event, ties="efron").fit()
    for row, place in zip(rows_by(rows, "cox, adjusted"), (0, 1), strict=True):
        assert np.log(row.estimate) == pytest.approx(expected.params[place], abs=1e-4)
        assert row.p_value == pytest.approx(expected.pvalues[place], rel=1e-2)
    (joint,) = rows_by(rows, "cox, adjusted, joint")
    part = expected.cov_params()[:2, :2]
    assert joint.statistic == pytest.approx(expected.params[:2] @ np.linalg.inv(part) @ expected.params[:2], rel=1e-3)


def test_an_effect_that_is_all_age_goes_with_age():
    rng = np.random.default_rng(1)
    cluster = np.repeat([0, 1], 150)
    age = rng.normal(55, 6, 300) + 12 * cluster
    time = rng.exponential(1000 / np.exp(0.08 * (age - 60)))
    rows = survival_rows(time, np.ones(300), cluster, [Variable("age", "table", "numeric", age)], ORDER)
    (crude,), (adjusted,) = rows_by(rows, "cox"), rows_by(rows, "cox, adjusted")
    assert crude.p_value < 1e-5
    assert adjusted.low < 1 < adjusted.high


def test_crossing_hazards_are_told():
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1], 150)
    time = np.where(cluster == 0, rng.weibull(0.5, 300), rng.weibull(4.0, 300)) * 1000
    rows = survival_rows(time, np.ones(300), cluster, (), ORDER)
    assert rows_by(rows, "cox, proportionality")[0].p_value < 1e-4


def test_few_cases_and_few_events_have_no_model():
    time, event = np.arange(1.0, 21.0), np.r_[np.ones(3), np.zeros(17)]
    cluster = np.r_[np.zeros(17, int), np.ones(3, int)]
    rows = survival_rows(time, event, cluster, (), ORDER)
    assert rows_by(rows, "kaplan-meier")[1].note == "fewer than 5 cases"
    assert rows_by(rows, "cox")[0].note == "fewer than two clusters with 5 complete cases"
    rows = survival_rows(time, event, np.arange(20) % 2, (), ORDER)
    assert rows_by(rows, "cox")[0].note == "fewer than 5 events for each of 1 coefficients"
    none = survival_rows(time, np.zeros(20), np.arange(20) % 2, (), ORDER)
    assert rows_by(none, "log-rank")[0].note == "no events"
    assert all(np.isnan(row.p_value) for row in none)
    missing = survival_rows(np.full(20, np.nan), event, cluster, (), ORDER)
    assert all(np.isnan(row.estimate) for row in missing)


def test_a_cluster_without_events_leaves_the_cox_model_to_the_others():
    _, time, event, cluster = lives([0.001, 0.002, 0.002], n=60)
    event = np.where(cluster == 0, 0.0, event)
    rows = survival_rows(time, event, cluster, (), (0, 1, 2))
    (ratio,) = rows_by(rows, "cox")
    assert (ratio.cluster, ratio.reference) == (2, 1)
    (joint,) = rows_by(rows, "cox, joint")
    assert (joint.left_out, joint.why, joint.n) == ((0,), "no event", 120)


def test_a_cluster_of_one_does_not_make_a_log_rank_test():
    time, event = np.r_[np.arange(2.0, 42.0), 1.0], np.ones(41)
    (found,) = rows_by(survival_rows(time, event, np.repeat([0, 1], (40, 1)), (), ORDER), "log-rank")
    assert np.isnan(found.p_value)
    assert (found.left_out, found.why, found.note) == (
        (1,),
        "fewer than 5 cases",
        "fewer than two clusters with 5 cases",
    )


def test_log_rank_errs_as_often_as_said_where_clusters_are_small():
    group, below, by_chi2 = np.repeat([0, 1, 2], (30, 5, 5)), 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        time, event = np.ceil(rng.exponential(10, 40)), (rng.random(40) < 0.4).astype(float)
        statistic, p, permuted = log_rank(time, event, group)
        below, by_chi2 = below + (p < 0.05), by_chi2 + (stats.chi2.sf(statistic, 2) < 0.05)
    assert permuted
    assert 1 <= below <= 8  # 3 expected
    assert below <= by_chi2


def test_many_groupings_at_once_have_the_statistics_that_lifelines_has():
    from lifelines.statistics import multivariate_logrank_test

    rng = np.random.default_rng(0)
    time = -np.sort(-rng.integers(1, 15, 50).astype(float))
    event, groups = (rng.random(50) < 0.6).astype(float), rng.permuted(np.tile(np.arange(50) % 4, (5, 1)), axis=1)
    expected = [multivariate_logrank_test(time, group, event).test_statistic for group in groups]
    assert log_rank_statistics(time, event, groups) == pytest.approx(expected)
