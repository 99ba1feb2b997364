import numpy as np
import pytest

from dcam_dist.training.class_weights import class_weights
from dcam_dist.types import UNASSIGNED

GRADE_N = np.array([0, 0, 0, 0, 2, 2, 5, UNASSIGNED])


def test_each_grade_weighs_inversely_to_its_frequency():
    weight_K = class_weights(GRADE_N, 6, "balanced")
    assert weight_K.dtype == np.float32
    np.testing.assert_allclose(weight_K, [7 / 12, 0, 7 / 6, 0, 0, 7 / 3], rtol=1e-6)


def test_the_cases_weigh_one_in_the_mean_and_each_grade_the_same_in_sum():
    weight_K = class_weights(GRADE_N, 6, "balanced")
    labelled = GRADE_N[GRADE_N >= 0]
    assert weight_K[labelled].mean() == pytest.approx(1, rel=1e-6)
    assert [weight_K[grade] * (labelled == grade).sum() for grade in (0, 2, 5)] == pytest.approx([7 / 3] * 3)


def test_without_weights_there_are_none():
    assert class_weights(GRADE_N, 6, "none") is None
