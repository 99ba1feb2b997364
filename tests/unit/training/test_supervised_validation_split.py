import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.errors import DataError
from dcam_dist.training.validation_split import validation_rows
from dcam_dist.types import UNASSIGNED

FRACTIONS = st.floats(0.01, 0.99)
CASES = st.lists(st.tuples(st.integers(0, 20), st.sampled_from([UNASSIGNED, 0, 1, 2, 5])), min_size=1, max_size=60)


def split(cases, fraction, seed=0):
    patients = [f"p{patient}" for patient, _ in cases]
    return validation_rows(patients, np.array([grade for _, grade in cases]), fraction=fraction, seed=seed)


@given(CASES, FRACTIONS, st.integers(0, 5))
def test_no_patient_is_on_both_sides_and_no_grade_is_lost(cases, fraction, seed):
    try:
        chosen = split(cases, fraction, seed)
    except DataError:
        chosen = np.zeros(len(cases), dtype=bool)
    kept_out = {patient for (patient, _), out in zip(cases, chosen, strict=True) if out}
    trained = {patient for (patient, grade), out in zip(cases, chosen, strict=True) if not out and grade >= 0}
    assert not kept_out & trained
    grades = {grade for _, grade in cases if grade >= 0}
    assert grades == {grade for (_, grade), out in zip(cases, chosen, strict=True) if not out and grade >= 0}
    assert all(grade >= 0 for (_, grade), out in zip(cases, chosen, strict=True) if out)


@given(CASES, FRACTIONS, st.randoms())
def test_the_order_of_the_cases_does_not_matter(cases, fraction, random):
    order = list(range(len(cases)))
    random.shuffle(order)
    try:
        chosen = split(cases, fraction)
    except DataError:
        with pytest.raises(DataError):
            split([cases[row] for row in order], fraction)
        return
    np.testing.assert_array_equal(split([cases[row] for row in order], fraction), chosen[order])


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_each_grade_gives_its_share(fraction):
    sizes = {0: 200, 1: 80, 2: 40, 3: 12}
    grade_N = np.repeat(list(sizes), list(sizes.values()))
    chosen = validation_rows([f"p{row}" for row in range(len(grade_N))], grade_N, fraction=fraction, seed=3)
    assert chosen.sum() == round(fraction * len(grade_N))
    for grade, size in sizes.items():
        assert abs(chosen[grade_N == grade].sum() - fraction * size) <= 1


def test_the_seed_decides_and_decides_the_same_again():
    cases = [(row, row % 3) for row in range(30)]
    first = split(cases, 0.3, seed=1)
    np.testing.assert_array_equal(split(cases, 0.3, seed=1), first)
    assert (split(cases, 0.3, seed=2) != first).any()


def test_a_share_of_nothing_is_nobody_and_the_smallest_share_is_one_patient():
    cases = [(row // 2, row % 4 // 2) for row in range(12)]
    assert not split(cases, 0.0).any()
    assert split(cases, 0.001).sum() == 2  # both scans of the one


def test_where_every_patient_has_the_last_case_of_a_grade_it_is_said():
    with pytest.raises(DataError, match="without taking the last training case"):
        split([(0, 0), (1, 1), (2, 2)], 0.5)
