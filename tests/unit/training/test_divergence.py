"""Weights that have gone wrong are never what a run goes on from."""

import importlib

import numpy as np
import pytest
import torch
from support.cohorts import settings

from dcam_dist.config import load_config
from dcam_dist.errors import DataError, Diverged, StopRequested
from dcam_dist.runs import checkpoint_files, latest_checkpoint
from dcam_dist.runs.places import places
from dcam_dist.training import cycle, leaving, supervised, train
from dcam_dist.training import epoch as epoch_module
from dcam_dist.training import extract as extract_module
from dcam_dist.types import Phase, Position

ABSURD = {"training__optimizer__lr": 1e30, "training__optimizer__head_lr": 1e30}
RATES = ["training.optimizer.lr", "training.optimizer.head_lr"]


def config(cohort, run, **overrides):
    return load_config(None, settings(cohort, output=run, **overrides))


@pytest.mark.parametrize("minutes", [0, 1000])
@pytest.mark.parametrize("skips", [1, 100])
def test_the_advice_after_a_divergence_works(tmp_path, small_cohort, minutes, skips):
    run = tmp_path / "r"
    often = {"training__checkpoint_minutes": minutes, "training__skipped_steps": skips}
    with pytest.raises(Diverged, match=r"--change training\.optimizer\.lr"):
        train(config(small_cohort, run, **often, **ABSURD))
    last = latest_checkpoint(run)
    assert last is None or all(value.abs().max() < 1e6 for value in last.engine.values() if value.is_floating_point())
    train(config(small_cohort, run, **often), changes=RATES)
    assert latest_checkpoint(run).finished


def test_a_run_that_leaves_right_after_a_bad_step_keeps_the_last_good_weights(tmp_path, small_cohort, monkeypatch):
    run, original, steps = tmp_path / "r", epoch_module.train_step, []
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.0)

    def step(job, parts, batch_B, label_N, rate):
        steps.append(1)
        if len(steps) == 2:  # its weights are bad, as only the next one shows
            taken = original(job, parts, batch_B, label_N, rate)
            with torch.no_grad():
                job.engine.network.head.weight.mul_(1e38).mul_(1e38)
            return taken
        if len(steps) == 3:
            (run / "stop").touch()
        return original(job, parts, batch_B, label_N, rate)

    monkeypatch.setattr(epoch_module, "train_step", step)
    with pytest.raises(StopRequested, match="the loss was not finite"):
        train(config(small_cohort, run, training__checkpoint_minutes=0, training__passes=3))
    last = latest_checkpoint(run)
    assert all(value.isfinite().all() for value in last.engine.values() if value.is_floating_point())
    assert last.position.step == 1
    monkeypatch.undo()
    train(config(small_cohort, run, training__checkpoint_minutes=0, training__passes=3))
    assert latest_checkpoint(run).finished


def test_a_run_that_leaves_right_after_a_bad_step_keeps_the_only_checkpoint(tmp_path, small_cohort, monkeypatch):
    run, original, steps = tmp_path / "r", epoch_module.train_step, []
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.0)

    def step(job, parts, batch_B, label_N, rate):
        steps.append(1)
        if len(steps) == STEPS + 1:  # the first of epoch 2; its volumes were read wrongly, once
            (run / "stop").touch()
            for part in parts:
                part.volume_BCDHW[:] = np.nan
        return original(job, parts, batch_B, label_N, rate)

    monkeypatch.setattr(epoch_module, "train_step", step)
    with pytest.raises(StopRequested, match="the loss was not finite"):
        train(config(small_cohort, run))
    assert latest_checkpoint(run).position == Position(1, Phase.EXTRACT)
    train(config(small_cohort, run))
    assert latest_checkpoint(run).finished


def nan_once(monkeypatch, *, after):
    """The volumes of one step are read wrongly, once."""
    original, steps = epoch_module.train_step, []

    def step(job, parts, batch_B, label_N, rate):
        steps.append(1)
        if len(steps) == after + 1:
            for part in parts:
                part.volume_BCDHW[:] = np.nan
        return original(job, parts, batch_B, label_N, rate)

    monkeypatch.setattr(epoch_module, "train_step", step)


@pytest.mark.parametrize("between", [2, 1000])
def test_after_an_epochs_last_step_was_left_out_it_is_saved_once_features_are_finite(
    tmp_path, small_cohort, monkeypatch, between
):
    run, saved = tmp_path / "r", []
    nan_once(monkeypatch, after=STEPS - 1)
    monkeypatch.setattr(extract_module, "VOLUMES_BETWEEN_MEETINGS", between)
    train_module = importlib.import_module("dcam_dist.training.train")  # the package's "train" is the function
    write = train_module.write_checkpoint
    noted = lambda run, state, keep: (saved.append(state.position), write(run, state, keep))  # noqa: E731
    monkeypatch.setattr(train_module, "write_checkpoint", noted)
    train(config(small_cohort, run, training__checkpoint_minutes=1000))
    first = next(at for at in saved if at > Position(0, Phase.TRAIN, STEPS - 1))
    assert first == (Position(1, Phase.EXTRACT, 2) if between == 2 else Position(1, Phase.RESET))
    assert latest_checkpoint(run).finished


def test_a_run_that_leaves_after_an_epochs_last_step_was_left_out_says_that_nothing_was_saved(
    tmp_path, small_cohort, monkeypatch
):
    run = tmp_path / "r"
    nan_once(monkeypatch, after=STEPS - 1)
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.0)
    trained = cycle.train

    def train_asked_to_leave(job, state):
        state = trained(job, state)
        (run / "stop").touch()
        return state

    monkeypatch.setattr(cycle, "train", train_asked_to_leave)
    often = {"training__checkpoint_minutes": 0}
    with pytest.raises(StopRequested, match="nothing saved since the last good checkpoint, for the loss was not"):
        train(config(small_cohort, run, **often))
    assert latest_checkpoint(run).position == Position(0, Phase.TRAIN, STEPS - 2)
    monkeypatch.undo()
    train(config(small_cohort, run, **often))
    assert latest_checkpoint(run).finished


def test_a_supervised_run_does_not_end_with_weights_that_are_not_finite(tmp_path, small_cohort, monkeypatch):
    run, original, steps = tmp_path / "r", epoch_module.train_step, []

    def step(job, *arguments):
        steps.append(1)
        taken = original(job, *arguments)
        if len(steps) == 2 * STEPS:  # the run's last one
            with torch.no_grad():
                job.engine.network.head.weight.fill_(np.nan)
        return taken

    monkeypatch.setattr(epoch_module, "train_step", step)
    with pytest.raises(Diverged, match=r"the weights are not finite after 2 epochs; .*--change"):
        train(config(small_cohort, run, method="supervised"))
    last = latest_checkpoint(run)
    assert last is None or not last.finished


def test_a_supervised_run_ends_with_its_best_weights_though_its_last_are_not_finite(
    tmp_path, small_cohort, monkeypatch
):
    run, original = tmp_path / "r", epoch_module.train_epoch

    def train_epoch(job, state):
        trained = original(job, state)
        if state.position.epoch == 1:
            with torch.no_grad():
                job.engine.network.head.weight.fill_(np.nan)
        return trained

    monkeypatch.setattr(supervised, "train_epoch", train_epoch)
    train(config(small_cohort, run, method="supervised", supervised__validation_fraction=0.3))
    last = latest_checkpoint(run)
    assert last.finished
    assert all(value.isfinite().all() for value in last.engine.values() if value.is_floating_point())


class Killed(BaseException):
    """As SIGKILL: the run does nothing more."""


def spoil(monkeypatch, step):
    """After one step the weights are bad, though finite, as only the next use of them shows."""
    original, steps = epoch_module.train_step, []

    def train_step(job, *arguments):
        steps.append(1)
        taken = original(job, *arguments)
        if len(steps) == step:
            with torch.no_grad():
                for weight in job.engine.network.parameters():
                    weight.mul_(1e30)
        return taken

    monkeypatch.setattr(epoch_module, "train_step", train_step)


def train_until(phase, call, settings_of_run):
    """Train until a phase is begun for so many times."""
    original, calls = getattr(cycle, phase), []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cycle, phase, dying)
        with pytest.raises(Killed):
            train(settings_of_run)


def good(checkpoint):
    return all(value.abs().max() < 1e6 for value in checkpoint.engine.values() if value.is_floating_point())


STEPS = 3  # of an epoch: 9 cases in batches of 4


@pytest.fixture
def spoil_first_epoch(tmp_path, small_cohort, monkeypatch):
    """Makes a run that was killed when epoch 2 began, after a checkpoint with bad weights; extractions are long."""
    monkeypatch.setattr(extract_module, "VOLUMES_BETWEEN_MEETINGS", 2)

    def make():
        with pytest.MonkeyPatch.context() as patch:
            spoil(patch, STEPS)
            settings_of_run = config(small_cohort, tmp_path / "r", training__checkpoint_minutes=0)
            train_until("extract", 2, settings_of_run)
        newest = latest_checkpoint(tmp_path / "r")
        assert newest.position == Position(1, Phase.EXTRACT) and not good(newest)
        return settings_of_run

    return make


def test_good_weights_outlive_the_starts_between_a_bad_step_and_its_discovery(spoil_first_epoch):
    settings_of_run = spoil_first_epoch()
    run = settings_of_run.output
    train_until("cluster", 1, settings_of_run)
    assert len(places(run)) > settings_of_run.training.keep_checkpoints
    with pytest.raises(Diverged, match="the checkpoint at epoch 1, train, step 3 holds good weights: go on"):
        train(settings_of_run)
    last = latest_checkpoint(run)
    assert last.position == Position(0, Phase.TRAIN, STEPS - 1) and good(last)
    train(settings_of_run)
    assert latest_checkpoint(run).finished


def test_a_run_that_went_on_is_never_left_without_a_checkpoint(spoil_first_epoch, monkeypatch, caplog):
    state_of = checkpoint_files._state_of

    def of_an_earlier_version(*given):
        return {name: part for name, part in state_of(*given).items() if name not in ("proven", "sound")}

    monkeypatch.setattr(checkpoint_files, "_state_of", of_an_earlier_version)
    settings_of_run = spoil_first_epoch()
    with pytest.raises(Diverged, match=r"not finite.*begin anew with --fresh"):
        train(settings_of_run)
    [left] = places(settings_of_run.output)
    assert left.position.epoch == 1
    with pytest.raises(Diverged, match=r"not finite.*begin anew with --fresh"):
        train(settings_of_run)
    train(settings_of_run, fresh=True)
    assert latest_checkpoint(settings_of_run.output).finished


def collapse_at(monkeypatch, lr):
    """At one rate of learning, the last step of epoch 2 leaves a network that gives all cases the same features."""
    original = epoch_module.train_step

    def train_step(job, parts, batch_B, label_N, rate):
        taken = original(job, parts, batch_B, label_N, rate)
        steps.append(1)
        if len(steps) == 2 * STEPS and job.config.training.optimizer.lr == lr:
            with torch.no_grad():
                for weight in job.engine.network.body.parameters():
                    weight.zero_()
        return taken

    steps = []
    monkeypatch.setattr(epoch_module, "train_step", train_step)
    return steps


@pytest.mark.parametrize("minutes", [0, 1000])
def test_the_advice_after_a_collapse_works(tmp_path, small_cohort, monkeypatch, minutes):
    run, often = tmp_path / "r", {"training__checkpoint_minutes": minutes, "training__epochs": 3}
    steps = collapse_at(monkeypatch, lr=0.05)
    monkeypatch.setattr(extract_module, "VOLUMES_BETWEEN_MEETINGS", 2)
    went_back = r"epoch 3: one cluster holds 100% .*; the checkpoint at epoch 2, \w+.* holds good weights: go on with a"
    with pytest.raises(DataError, match=went_back + r" lower training\.optimizer\.lr and --change training\.opt"):
        train(config(small_cohort, run, **often))
    assert latest_checkpoint(run).position < Position(1, Phase.TRAIN, 1)
    steps[:] = [1] * STEPS  # of epoch 1
    with pytest.raises(DataError, match=went_back):
        train(config(small_cohort, run, **often))
    steps[:] = [1] * STEPS
    train(config(small_cohort, run, **often, training__optimizer__lr=0.01), changes=["training.optimizer.lr"])
    assert latest_checkpoint(run).finished


def test_the_advice_after_a_collapse_in_epoch_2_works(tmp_path, small_cohort, monkeypatch):
    run = tmp_path / "r"
    collapse_at(monkeypatch, lr=0.05)[:] = [1] * STEPS
    with pytest.raises(
        DataError, match=r"epoch 2: one cluster.*no good weights were saved yet: go on.*--change training\."
    ):
        train(config(small_cohort, run))
    train(config(small_cohort, run, training__optimizer__lr=0.01), changes=["training.optimizer.lr"])
    assert latest_checkpoint(run).finished
