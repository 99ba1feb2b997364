"""Robust z-scores: the formula, and the cohorts on which a naive one fails."""

import math

import numpy as np
import pytest

from dcam_dist.ingest.quality.outliers import CUT, LARGEST, outliers, robust_z


def test_the_formula():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 20.0]
    # median 4, absolute deviations 3 2 1 0 1 2 16, their median 2
    assert robust_z(values, 0.0) == pytest.approx([(value - 4) / (1.4826 * 2) for value in values])


def test_without_spread_nobody_is_an_outlier():
    assert not robust_z([0.7] * 9, 0.01).any()
    assert np.abs(robust_z([0.7] * 5 + [0.7000001] * 4, 0.01)).max() < 0.01


def test_a_zero_mad_falls_back_on_the_mean_deviation():
    common = robust_z([1.0] * 6 + [2.0] * 4, 0.01)  # mean deviation 0.4
    assert common[:6] == pytest.approx(0) and common[6:] == pytest.approx(1 / (1.2533 * 0.4))
    rare = robust_z([1.0] * 99 + [2.0], 0.01)
    assert rare[-1] > CUT


def test_few_values_and_none_are_not_scored():
    assert np.isnan(robust_z([1.0, 2.0, 3.0, 900.0], 0.01)).all()
    scores = robust_z([1.0, 2.0, 3.0, 4.0, 5.0, math.nan], 0.01)
    assert np.isnan(scores[-1]) and np.isfinite(scores[:-1]).all()


def test_scores_are_limited():
    assert robust_z([1.0, 1.1, 0.9, 1.0, 1.05, 1e12], 0.01)[-1] == LARGEST


def test_a_case_is_scored_by_its_farthest_measure():
    cases = [{"volume_ml": 5000.0 + 100 * k, "mean_hu": -850.0 + k} for k in range(9)]
    cases[3] = {"volume_ml": 500.0, "mean_hu": -847.0}
    found = outliers(cases)
    assert found[3].measure.name == "volume_ml" and found[3].z < 0 and found[3].score == -found[3].z >= CUT
    assert all(case.score < CUT for index, case in enumerate(found) if index != 3)


def test_half_and_double_are_equally_far():
    volumes = [4000.0, 5000.0, 5000.0 * 5 / 4, 2500.0, 10000.0, 4500.0, 5000.0 * 10 / 9]
    half, double = (outliers([{"volume_ml": value} for value in volumes])[index] for index in (3, 4))
    assert half.score == pytest.approx(double.score)


def test_cases_without_measures_and_small_cohorts_have_no_score():
    assert outliers([]) == []
    assert outliers([{"volume_ml": 1.0}] * 4) == [None] * 4
    assert outliers([{"volume_ml": 5000.0}] * 5 + [{}, {"volume_ml": 0.0}])[5:] == [None, None]
