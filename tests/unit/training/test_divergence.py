"""Weights that have gone wrong are never what a run goes on from."""

import pytest
import torch
from support.cohorts import settings

from dcam_dist.config import load_config
from dcam_dist.errors import Diverged, StopRequested
from dcam_dist.runs import latest_checkpoint
from dcam_dist.training import epoch as epoch_module
from dcam_dist.training import leaving, train

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
