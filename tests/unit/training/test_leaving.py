import os
import signal
import time
from contextlib import nullcontext

import pytest
from support.cohorts import settings

from dcam_dist.config import load_config
from dcam_dist.distributed import ProcessContext
from dcam_dist.errors import StopRequested
from dcam_dist.runs import latest_checkpoint
from dcam_dist.runs.live import STOP_FILE
from dcam_dist.training import epoch as epoch_module
from dcam_dist.training import leaving, train
from dcam_dist.training.boundary import Boundary
from dcam_dist.training.leaving import Leaving, end_of_time, hearing_signals
from dcam_dist.training.state import CycleState
from dcam_dist.types import Phase, Position


def config(cohort, run, **overrides):
    return load_config(None, settings(cohort, output=run, **overrides))


@pytest.fixture
def at_the_second_step(monkeypatch):
    """Have something done in the second step of a training."""

    def arrange(action):
        original, steps = epoch_module.train_step, []

        def step(*arguments):
            steps.append(1)
            if len(steps) == 2:
                action()
            return original(*arguments)

        monkeypatch.setattr(epoch_module, "train_step", step)

    return arrange


def test_nothing_asked_is_no_reason(tmp_path):
    assert Leaving(tmp_path).reason(1e9) is None


def test_the_stop_file_is_a_reason_where_it_is_looked_for(tmp_path):
    (tmp_path / STOP_FILE).touch()
    assert Leaving(tmp_path).reason(0) == "the stop file"
    assert Leaving().reason(0) is None


def test_time_is_over_when_a_save_would_not_fit_in_any_more():
    leaving = Leaving(end_s=time.time() + 100)
    assert leaving.reason(50) is None
    assert leaving.reason(150) == "the time limit"


@pytest.mark.parametrize(("first_save_s", "leaves"), [(0, False), (100, True)])
def test_time_for_a_save_is_kept_before_the_first_was_timed(first_save_s, leaves):
    here = CycleState(Position(0, Phase.CLUSTER))
    boundary = Boundary(
        ProcessContext(0, 0, 1, "cpu"), leaving=Leaving(end_s=time.time() + 60), first_save_s=first_save_s
    )
    with pytest.raises(StopRequested, match="the time limit") if leaves else nullcontext():
        boundary.cross(here.position, lambda: here)


def test_once_saves_were_timed_the_first_guess_counts_no_more():
    boundary = Boundary(ProcessContext(0, 0, 1, "cpu"), leaving=Leaving(end_s=time.time() + 60), first_save_s=100)
    boundary.close_epoch(CycleState(Position(1, Phase.EXTRACT)))
    here = CycleState(Position(1, Phase.CLUSTER))
    boundary.cross(here.position, lambda: here)


def test_a_save_is_expected_to_take_as_long_as_a_slow_disk_needs_for_the_state(tmp_path, small_cohort, monkeypatch):
    monkeypatch.setattr(leaving, "SLOW_DISK_BYTES_S", 1)
    with pytest.raises(StopRequested, match="the time limit: saved at epoch 1, extract"):
        train(config(small_cohort, tmp_path / "r", training__max_minutes=60))
    train(config(small_cohort, tmp_path / "r"))
    assert latest_checkpoint(tmp_path / "r").finished


def test_slurms_end_of_the_job_counts_and_the_earlier_end_wins(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    assert end_of_time(None) == float("inf")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 600))
    assert end_of_time(None) == pytest.approx(time.time() + 600, abs=5)
    assert end_of_time(2) == pytest.approx(time.time() + 120, abs=5)
    assert end_of_time(60) == pytest.approx(time.time() + 600, abs=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_noted_once_it_is_heard_and_the_old_handler_comes_back(number):
    before = signal.getsignal(number)
    leaving = Leaving()
    with hearing_signals(leaving):
        os.kill(os.getpid(), number)
        assert leaving.reason(0) == signal.Signals(number).name
    assert signal.getsignal(number) == before


def test_a_training_leaves_at_the_next_step_with_a_checkpoint_of_it(tmp_path, small_cohort, at_the_second_step):
    run = tmp_path / "r"
    at_the_second_step(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(
        StopRequested, match=r"SIGTERM: saved at epoch 1, train, step 3; run the same command"
    ) as caught:
        train(config(small_cohort, run))
    assert caught.value.exit_code == 75
    assert latest_checkpoint(run).position == Position(0, Phase.TRAIN, 2)


def test_the_stop_file_of_an_earlier_start_is_forgotten(tmp_path, small_cohort, at_the_second_step, monkeypatch):
    run = tmp_path / "r"
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.0)
    at_the_second_step((run / STOP_FILE).touch)
    with pytest.raises(StopRequested, match="the stop file"):
        train(config(small_cohort, run))
    train(config(small_cohort, run))
    assert latest_checkpoint(run).finished


def test_the_time_limit_ends_a_run_before_it_has_passed(tmp_path, small_cohort):
    run = tmp_path / "r"
    with pytest.raises(StopRequested, match="the time limit"):
        train(config(small_cohort, run, training__max_minutes=0.1, training__epochs=1000))
    assert latest_checkpoint(run) is not None
