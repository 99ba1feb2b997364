"""Robust z-scores: the formula, and the cohorts on which a naive one fails."""

import math

import numpy as np
import pytest

from dcam_dist.ingest.quality.outliers import CUT, LARGEST, LEAST_CASES, MEASURES, outliers, robust_z


def test_the_formula():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 20.0] * 3
    # median 4, absolute deviations 3 2 1 0 1 2 16, their median 2
    assert robust_z(values, 0.0) == pytest.approx([(value - 4) / (1.4826 * 2) for value in values])


def test_without_spread_nobody_is_an_outlier():
    assert not robust_z([0.7] * 29, 0.01).any()
    assert np.abs(robust_z([0.7] * 15 + [0.7000001] * 14, 0.01)).max() < 0.01


def test_a_zero_mad_falls_back_on_the_mean_deviation():
    common = robust_z([1.0] * 18 + [2.0] * 12, 0.01)  # mean deviation 0.4
    assert common[:18] == pytest.approx(0) and common[18:] == pytest.approx(1 / (1.2533 * 0.4))
    rare = robust_z([1.0] * 99 + [2.0], 0.01)
    assert rare[-1] > CUT


def test_few_values_and_none_are_not_scored():
    values = [float(value) for value in range(LEAST_CASES)]
    assert np.isnan(robust_z([*values[2:], 900.0], 0.01)).all()
    scores = robust_z([*values, math.nan], 0.01)
    assert np.isnan(scores[-1]) and np.isfinite(scores[:-1]).all()


def test_scores_are_limited():
    assert robust_z([*[1.0, 1.1, 0.9, 1.0, 1.05] * 4, 1e12], 0.01)[-1] == LARGEST


def test_a_case_is_scored_by_its_farthest_measure():
    cases = [{"volume_ml": 5000.0 + 100 * k, "mean_hu": -850.0 + k} for k in range(21)]
    cases[3] = {"volume_ml": 500.0, "mean_hu": -847.0}
    found = outliers(cases)
    assert found[3].measure.name == "volume_ml" and found[3].z < 0 and found[3].score == -found[3].z >= CUT
    assert all(case.score < CUT for index, case in enumerate(found) if index != 3)


def test_half_and_double_are_equally_far():
    volumes = [4000.0, 5000.0, 5000.0 * 5 / 4, 2500.0, 10000.0, 4500.0, 5000.0 * 10 / 9] * 3
    half, double = (outliers([{"volume_ml": value} for value in volumes])[index] for index in (3, 4))
    assert half.score == pytest.approx(double.score)


def test_cases_without_measures_and_small_cohorts_have_no_score():
    assert outliers([]) == []
    assert outliers([{"volume_ml": 1.0}] * (LEAST_CASES - 1)) == [None] * (LEAST_CASES - 1)
    assert outliers([{"volume_ml": 5000.0}] * LEAST_CASES + [{}, {"volume_ml": 0.0}])[LEAST_CASES:] == [None, None]


def test_eight_cases_have_no_outliers():
    spacings = [4.27, 4.27, 4.28, 4.26, 4.27, 4.79, 3.9, 4.5]
    assert outliers([{"spacing_z_mm": spacing} for spacing in spacings]) == [None] * 8


@pytest.mark.parametrize(
    ("name", "usual", "near", "far"),
    [
        ("volume_ml", 5000.0, 6000.0, 2500.0),
        ("right_left_ratio", 1.15, 1.3, 0.4),
        ("mean_hu", -840.0, -815.0, -780.0),
        ("laa950", 2.0, 4.0, 20.0),
        ("perc15", -920.0, -895.0, -860.0),
        ("spacing_z_mm", 4.27, 4.79, 1.0),
        ("spacing_x_mm", 0.7, 0.9, 2.0),
    ],
)
def test_in_a_uniform_cohort_only_what_matters_is_far(name, usual, near, far):
    rng = np.random.default_rng(0)
    cases = [{name: usual * (1 + 1e-4 * float(rng.normal()))} for _ in range(30)] + [{name: near}, {name: far}]
    scores = [case.score for case in outliers(cases)]
    assert max(scores[:-1]) < CUT <= scores[-1]
    assert name in {measure.name for measure in MEASURES}
