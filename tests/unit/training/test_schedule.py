import pytest

from dcam_dist.config.schema import OptimizerConfig
from dcam_dist.training.schedule import rate_factor


def test_constant_rates_stay():
    assert {rate_factor(OptimizerConfig(), done, 10) for done in (0.0, 3.3, 9.99)} == {1.0}


def test_warmup_rises_linearly_from_above_zero_and_then_stays():
    settings = OptimizerConfig(warmup_epochs=2)
    factors = [rate_factor(settings, done, 10) for done in (0.0, 0.5, 1.0, 1.5, 2.0, 5.0)]
    assert 0 < factors[0] < 0.01
    assert factors[2] - factors[1] == pytest.approx(factors[3] - factors[2])
    assert factors[4:] == [1.0, 1.0]


def test_a_cosine_falls_from_one_over_a_half_to_zero():
    settings = OptimizerConfig(schedule="cosine")
    assert [rate_factor(settings, done, 10) for done in (0, 5, 10)] == pytest.approx([1.0, 0.5, 0.0])
