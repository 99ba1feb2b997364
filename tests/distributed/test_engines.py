"""DDP and DeepSpeed's ZeRO 0, 1 and 2 do the same, and a step that is not taken is taken by nobody."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from support.processes import torchrun
from support.trainings import run_ranks

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
JOBS = "tests/support/engine_jobs.py"
ENGINES = ("ddp", "zero0", "zero1", "zero2")
ZERO = ENGINES[1:]
OPTIMIZERS = ("sgd", "adam")
TOLERANCE = 1e-6  # measured on two ranks: 0, with parts and clipping up to 1.2e-7


class Told:
    """What ``engine_jobs`` left in a folder."""

    def __init__(self, folder, job):
        self.folder, self.steps = folder, json.loads((folder / f"{job}.json").read_text())

    def losses(self, name):
        return [loss for loss, _ in self.steps[name]]

    def outcomes(self, name):
        return [outcome for _, outcome in self.steps[name]]

    def state(self, name):
        return load_file(self.folder / f"{name}.safetensors")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    ended = torchrun(2, [JOBS, str(folder), "compare"])
    assert ended.returncode == 0, ended.stderr
    return Told(folder, "compare")


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def assert_close(one, other, tolerance=TOLERANCE):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(
            one[name], other[name], rtol=0, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_losses_and_weights_are_those_of_ddp(told, engine, optimizer):
    losses, expected = (told.losses(f"{name}-{optimizer}-trained") for name in (engine, "ddp"))
    assert len(losses) == 6
    assert losses == pytest.approx(expected, rel=0, abs=TOLERANCE)
    assert len(set(losses)) == 6
    assert_close(told.state(f"{engine}-{optimizer}-trained"), told.state(f"ddp-{optimizer}-trained"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("moment", ["start", "trained", "reset"])
def test_a_state_has_the_same_names_and_shapes_in_every_engine_at_any_time(told, engine, optimizer, moment):
    state, expected = told.state(f"{engine}-{optimizer}-{moment}"), told.state(f"ddp-{optimizer}-start")
    assert {name: value.shape for name, value in state.items()} == {name: v.shape for name, v in expected.items()}
    keys = {"sgd": {"momentum_buffer"}, "adam": {"step", "exp_avg", "exp_avg_sq"}}[optimizer]
    assert {name.rsplit("/")[1] for name in state if name.startswith("optimizer.body")} == keys


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_after_a_reset_and_a_step_the_head_is_that_of_ddp(told, engine, optimizer):
    old = told.state(f"{engine}-{optimizer}-trained")["network.head.weight"]
    for moment in ("reset", "reset-step"):
        state, expected = (told.state(f"{name}-{optimizer}-{moment}") for name in (engine, "ddp"))
        assert_close(state, expected)
        assert (state["network.head.weight"] - old).abs().max() > 0.01
    assert told.outcomes(f"{engine}-{optimizer}-reset-step") == ["taken"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_reset_clears_the_optimizer_state_of_the_head_alone(told, engine):
    reset, trained = (told.state(f"{engine}-adam-{moment}") for moment in ("reset", "trained"))
    heads = [name for name in reset if name.startswith("optimizer.head")]
    assert len(heads) == 6
    assert all(not reset[name].any() and trained[name].any() for name in heads)
    body = [name for name in reset if name.startswith(("optimizer.body", "network.body"))]
    assert_equal({name: reset[name] for name in body}, {name: trained[name] for name in body})
    stepped = told.state(f"{engine}-adam-reset-step")
    assert stepped["optimizer.head.weight/step"] == 1
    assert stepped["optimizer.body.bottleneck.first.weight/step"] == 7


@pytest.mark.parametrize("engine", ["zero1", "zero2"])
def test_a_head_written_past_zero_would_be_undone_by_its_next_step(told, engine):
    wrong, right = told.state(f"{engine}-data-step"), told.state(f"{engine}-sgd-reset-step")
    assert (wrong["network.head.weight"] - right["network.head.weight"]).abs().max() > 0.01
    with pytest.raises(AssertionError):
        assert_close(wrong, told.state("ddp-sgd-reset-step"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("poison", ["loss", "volume", "gradient"])
def test_what_is_not_finite_on_one_rank_changes_nothing_on_any(told, engine, optimizer, poison):
    label = f"{engine}-{optimizer}-{poison}"
    assert told.outcomes(label) == ["not finite"]
    for rank in (0, 1):
        assert_equal(told.state(f"{label}-before-rank{rank}"), told.state(f"{label}-after-rank{rank}"))
    assert all(value.isfinite().all() for value in told.state(f"{label}-state").values())
    assert told.outcomes(f"{label}-next") == ["taken"]
    assert told.losses(f"{label}-next") == told.losses(f"{label}-alone")
    assert_equal(told.state(f"{label}-next"), told.state(f"{label}-alone"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("origin", ENGINES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_engine_goes_on_from_the_state_of_every_other(told, engine, origin, optimizer):
    name, expected = f"{engine}-{optimizer}-from-{origin}", f"ddp-{optimizer}-from-ddp"
    assert told.losses(name) == pytest.approx(told.losses(expected), rel=0, abs=TOLERANCE)
    assert_close(told.state(name), told.state(expected))


@pytest.mark.parametrize("engine", ENGINES)
def test_parts_and_clipping_are_those_of_ddp(told, engine):
    for what in ("parts", "parts-next", "clipped"):
        assert_close(told.state(f"{engine}-{what}"), told.state(f"ddp-{what}"))
    assert told.outcomes(f"{engine}-parts-loss") == ["not finite"]
    moved = (
        told.state(f"{engine}-clipped")["network.head.weight"]
        - told.state(f"{engine}-sgd-start")["network.head.weight"]
    )
    assert 0 < moved.norm() <= 2 * 0.01 * 0.05 * 1.01  # two steps of a norm of at most 0.01 at a rate of 0.05


@pytest.mark.parametrize("engine", ENGINES)
def test_scaling_the_loss_changes_no_bit_and_an_overflow_halves_the_scale(told, engine):
    scaled, plain = told.state(f"{engine}-scaled"), told.state(f"{engine}-clipped")
    assert scaled.pop("loss_scale").tolist() == [2.0**16, 2]
    assert_equal(scaled, plain)
    assert told.outcomes(f"{engine}-scaled-gradient") == ["scaled down"]
    assert told.outcomes(f"{engine}-scaled-loss") == ["not finite"]
    after = told.state(f"{engine}-scaled-gradient-state")
    assert after.pop("loss_scale").tolist() == [2.0**15, 0]
    assert_equal(after, plain)
    following, alone = (told.state(f"{engine}-scaled-gradient-{what}") for what in ("next", "alone"))
    assert following.pop("loss_scale").tolist() == [2.0**15, 1]
    assert alone.pop("loss_scale").tolist() == [2.0**16, 3]
    assert_equal(following, alone)


def test_deepspeeds_activation_checkpointing_changes_no_weight_and_no_buffer(told):
    assert told.losses("zero2-activations") == told.losses("zero2-deepspeed-activations")
    assert_equal(told.state("zero2-activations"), told.state("zero2-deepspeed-activations"))


def test_zero_exchanges_in_the_group_with_our_timeout(told):
    assert told.steps["group"] == [True]


RESUMED = {3: ("ddp", "ddp-block", "ddp-unrehearsed", "zero1", "zero2"), 4: ("ddp", "ddp-block")}


@pytest.fixture(scope="module")
def resumes(tmp_path_factory):
    """What 3 and 4 ranks make of four steps, at once and in two starts; and one rank of the last two of 3 ranks."""
    root = tmp_path_factory.mktemp("resumes")
    for ranks, names in RESUMED.items():
        (root / str(ranks)).mkdir()
        for job in ("whole", "resumed"):
            run_ranks(ranks, JOBS, root / str(ranks), job, *names, log=root / "log.txt")
    shutil.copytree(root / "3", root / "1")
    run_ranks(1, JOBS, root / "1", "resumed", "ddp", "zero2", log=root / "log.txt")
    return root


def compare_resumed(root, ranks, name):
    folder = root / str(ranks)
    assert Told(folder, "whole").losses(f"{name}-whole") == Told(folder, "resumed").losses(f"{name}-resumed")
    assert_equal(*(load_file(folder / f"{name}-{start}.safetensors") for start in ("whole", "resumed")))


@pytest.mark.parametrize(
    ("ranks", "name"), [(n, name) for n, names in RESUMED.items() for name in names if name != "ddp-unrehearsed"]
)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(resumes, ranks, name):
    compare_resumed(resumes, ranks, name)


def test_without_its_rehearsal_ddp_would_add_up_in_another_order_after_a_resume(resumes):
    with pytest.raises(AssertionError):
        compare_resumed(resumes, 3, "ddp-unrehearsed")


@pytest.mark.parametrize("name", ["ddp", "zero2"])
def test_one_rank_goes_on_where_three_left_off(resumes, name):
    losses = Told(resumes / "1", "resumed").losses(f"{name}-resumed")
    assert losses == pytest.approx(Told(resumes / "3", "whole").losses(f"{name}-whole"), rel=0, abs=1e-5)
