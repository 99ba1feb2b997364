"""Who gets which disease."""

import numpy as np
import pytest

from dcam_dist.config.schema import FLEISCHNER_GRADES
from dcam_dist.phantom import GRADE_FREQUENCY, GRADES, PARASEPTAL, PARASEPTAL_FREQUENCY, Disease
from dcam_dist.phantom.grades import draw_covariates, draw_diseases, stratified_counts


def test_the_grades_are_the_label_set_of_the_configuration():
    assert GRADES == FLEISCHNER_GRADES


def test_frequencies_are_distributions():
    assert sum(GRADE_FREQUENCY.values()) == pytest.approx(1)
    assert sum(PARASEPTAL_FREQUENCY.values()) == pytest.approx(1)


@pytest.mark.parametrize("cases", range(12, 73))
def test_every_grade_occurs_from_twelve_cases_on(cases):
    counts = stratified_counts(cases, GRADE_FREQUENCY)
    assert sum(counts.values()) == cases
    assert min(counts.values()) >= 1
    assert all(abs(counts[grade] - cases * share) < 1 for grade, share in GRADE_FREQUENCY.items())


def test_the_draw_is_seeded_and_shuffled():
    assert draw_diseases(40, 3) == draw_diseases(40, 3)
    assert draw_diseases(40, 3) != draw_diseases(40, 4)
    severity = [disease.severity for disease in draw_diseases(40, 3)]
    assert severity != sorted(severity)


def test_the_paraseptal_axis_is_independent_of_the_grade():
    diseases = draw_diseases(6000, 0)
    table = np.zeros((len(GRADES), len(PARASEPTAL)))
    for disease in diseases:
        table[disease.severity, PARASEPTAL.index(disease.paraseptal)] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    chi_square = ((table - expected) ** 2 / expected).sum()
    assert chi_square < 25.2  # 99.5th percentile at 10 degrees of freedom


def test_lung_function_falls_and_smoking_rises_with_the_grade():
    def mean(name, grade):
        rngs = [np.random.default_rng(seed) for seed in range(80)]
        return np.mean([draw_covariates(rng, Disease(grade, "absent"))[name] for rng in rngs])

    assert mean("fev1_percent", "advanced destructive") < mean("fev1_percent", "mild") < mean("fev1_percent", "absent")
    assert mean("pack_years", "advanced destructive") > mean("pack_years", "absent")
    assert mean("fev1_fvc", "absent") > 0.7 > mean("fev1_fvc", "moderate")
