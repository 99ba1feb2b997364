import pytest

from dcam_dist.distributed.loss_scale import FIRST, HIGHEST, LOWEST, STEPS_TO_DOUBLE, LossScale


def steps(scale, count):
    for _ in range(count):
        scale.count_step()


def test_an_overflow_halves_the_factor_and_many_steps_without_double_it():
    scale = LossScale()
    assert scale.factor == FIRST
    scale.halve()
    steps(scale, STEPS_TO_DOUBLE - 1)
    assert scale.factor == FIRST / 2
    steps(scale, 1)
    assert scale.factor == FIRST


def test_an_overflow_starts_the_count_anew():
    scale = LossScale()
    steps(scale, STEPS_TO_DOUBLE - 1)
    scale.halve()
    steps(scale, STEPS_TO_DOUBLE - 1)
    assert scale.factor == FIRST / 2


def test_the_factor_stays_between_its_bounds():
    scale = LossScale()
    steps(scale, 100 * STEPS_TO_DOUBLE)
    assert scale.factor == HIGHEST
    assert not scale.lowest
    for _ in range(100):
        scale.halve()
    assert scale.factor == LOWEST
    assert scale.lowest


@pytest.mark.parametrize("count", [0, 1, STEPS_TO_DOUBLE - 1])
def test_a_state_goes_on_exactly(count):
    scale, other = LossScale(), LossScale()
    scale.halve()
    steps(scale, count)
    other.load(scale.state())
    for one in (scale, other):
        steps(one, STEPS_TO_DOUBLE - count)
    assert scale.state().tolist() == other.state().tolist() == [FIRST, 0]
