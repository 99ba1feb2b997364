"""The choice of the engine, and what one process shows of the default one."""

import sys

import pytest
import torch
from torch.nn import functional as F

from dcam_dist.config import load_config
from dcam_dist.distributed import DdpEngine, StepOutcome, build_engine, open_processes
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.models import build_network

SMALL = ("network.filters=2", "training.batch_size=2", "training.optimizer.name=adam")


def engine_of(context, *settings):
    config = load_config(None, [*SMALL, *settings])
    engine = build_engine(build_network(config), config.training, config.network, context)
    engine.network.train()
    return engine


def step(engine, *, seed=1, rate=1.0, worse=0.0):
    generator = torch.Generator().manual_seed(seed)
    volume = torch.rand(2, 1, 16, 16, 16, generator=generator)
    logits = engine.forward(volume, torch.ones_like(volume))
    engine.backward(F.cross_entropy(logits, torch.arange(2)) + worse)
    return engine.step(rate)


@pytest.fixture
def context():
    with open_processes() as context:
        yield context


def test_ddp_is_the_default_and_needs_no_deepspeed(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    assert isinstance(engine_of(context), DdpEngine)


@pytest.mark.parametrize("settings", ["network.checkpointing=deepspeed", "training.deepspeed_config=ds.json"])
def test_what_only_deepspeed_has_is_refused_with_ddp(context, settings):
    with pytest.raises(UsageError, match=r"needs training\.engine=deepspeed"):
        engine_of(context, settings)


def test_a_missing_deepspeed_is_one_line_that_names_the_extra(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'dcam-dist\[deepspeed\]'"):
        engine_of(context, "training.engine=deepspeed")


def test_its_json_is_read_before_deepspeed_is(context, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 3}}')
    with pytest.raises(UsageError, match="3 is not supported; choose 0, 1 or 2"):
        engine_of(context, "training.engine=deepspeed", f"training.deepspeed_config={tmp_path / 'ds.json'}")


def test_the_rate_multiplies_both_learning_rates(context):
    settings = ("training.optimizer.name=sgd", "training.optimizer.weight_decay=0")
    moved = {}
    for rate in (0.25, 1.0):
        engine = engine_of(context, *settings)
        before = engine.state()
        assert step(engine, rate=rate) is StepOutcome.TAKEN
        moved[rate] = {name: (value - before[name]).double() for name, value in engine.state().items()}
    for name in ("network.head.weight", "network.body.bottleneck.first.weight"):
        assert moved[1.0][name].any()
        torch.testing.assert_close(moved[0.25][name], moved[1.0][name] / 4, rtol=1e-3, atol=1e-7)


def test_a_step_that_is_not_taken_leaves_weights_buffers_and_optimizer_as_they_were(context):
    engine = engine_of(context)
    step(engine)
    before = engine.state()
    assert step(engine, seed=2, worse=torch.nan) is StepOutcome.NOT_FINITE
    after = engine.state()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(name.endswith("running_mean") for name in before)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_parameters_and_state_are_float32_under_half_precision(context, precision):
    engine = engine_of(context, f"network.precision={precision}")
    outcomes = [step(engine) for _ in range(3)]
    assert StepOutcome.TAKEN in outcomes
    state = engine.state()
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert ("loss_scale" in state) is (precision == "fp16")


def test_overflowing_gradients_under_fp16_lower_the_scale_until_they_fit(context):
    engine = engine_of(context, "network.precision=fp16")
    engine._guard.scale.factor = 2.0**40
    before = engine.state()
    outcomes = []
    while not outcomes or outcomes[-1] is StepOutcome.SCALED_DOWN:
        outcomes.append(step(engine))
        after = engine.state()
        if outcomes[-1] is StepOutcome.SCALED_DOWN:
            assert all(torch.equal(before[name], after[name]) for name in before.keys() - {"loss_scale"})
    assert outcomes[0] is StepOutcome.SCALED_DOWN
    assert outcomes[-1] is StepOutcome.TAKEN
    assert after["loss_scale"].tolist() == [2.0 ** (40 - len(outcomes) + 1), 1]


def test_what_overflows_at_the_lowest_scale_is_not_finite(context):
    engine = engine_of(context, "network.precision=fp16")
    engine._guard.scale.factor = 1.0
    bias = engine.network.head.bias[0]
    assert step(engine, worse=(bias - bias.detach()).abs().sqrt()) is StepOutcome.NOT_FINITE


def test_the_state_of_another_network_is_refused(context):
    other = engine_of(context, "network.filters=4").state()
    with pytest.raises(DataError, match="another network"):
        engine_of(context).load_state(other)


def test_the_state_of_another_optimizer_gives_the_weights_and_starts_that_afresh(context):
    engine = engine_of(context, "training.optimizer.name=sgd")
    step(engine)
    adam = engine_of(context)
    step(adam)
    fresh = engine_of(context).state()
    adam.load_state(engine.state())
    state = adam.state()
    for name in state:
        expected = fresh if name.startswith("optimizer.") else engine.state()
        assert torch.equal(state[name], expected[name]), name


def test_gradients_are_exchanged_with_the_last_part_alone(context):
    engine = engine_of(context)
    exchanged = []

    def exchange(_, bucket):
        exchanged.append(bucket.index())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    engine._replica.register_comm_hook(None, exchange)
    volume = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    counts = []
    for last in (False, False, True):
        engine.backward(engine.forward(volume, torch.ones_like(volume), last=last).sum())
        counts.append(len(exchanged))
    assert counts[:2] == [0, 0]
    assert counts[2] >= 1
