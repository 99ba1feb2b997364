"""When a training writes RUN/progress.json and what, by a clock that the test turns."""

import io
import json
import shutil
import time

import pytest

from dcam_dist.commands.live_file import EVERY_S, LiveFile
from dcam_dist.commands.standing import Standing
from dcam_dist.commands.train_progress import Shown
from dcam_dist.config import load_config
from dcam_dist.errors import DataError, StopRequested
from dcam_dist.runs.live import read_live
from dcam_dist.types import Phase, Position


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def config(tmp_path):
    (tmp_path / "run").mkdir()
    return load_config(None, [f"output={tmp_path / 'run'}", "training.epochs=3"])


@pytest.fixture
def shown(clock, config):
    return Shown(io.StringIO(), config, clock)


def test_nothing_is_written_before_the_run_is_this_start_s_own(shown, config):
    shown.tick()
    shown.close(DataError("another training is running in it"))
    assert list(config.output.iterdir()) == []


def test_a_start_says_so_before_its_first_phase(shown, config):
    shown.opened(config)
    shown.tick()
    live = read_live(config.output)
    assert (live.phase, live.epoch, live.ended, live.ranks) == (None, None, None, 1)
    assert abs(live.time_s - time.time()) < 5


def test_a_phase_is_written_at_its_begin_and_every_15_s(shown, config, clock):
    shown.opened(config)
    shown.phase(Position(1, Phase.TRAIN), 100)
    written = []
    for second in range(40):
        shown.tick()
        written.append(read_live(config.output).done)
        clock.now += 1
        shown.advance(1, loss=1.5)
        if second == 37:
            shown.phase(Position(2, Phase.EXTRACT), 50, 8)
    assert EVERY_S == 15
    assert written == [0] * 15 + [15] * 15 + [30] * 8 + [8, 8]  # the last: those that an earlier start has done
    live = read_live(config.output)
    assert (live.phase, live.epoch, live.total, live.loss) == ("extract", 2, 50, 1.5)
    assert live.volumes_per_second is None or live.volumes_per_second >= 0


def test_rate_and_last_movement_are_told(shown, config, clock):
    shown.opened(config)
    shown.phase(Position(0, Phase.TRAIN), 100)
    clock.now += 10
    shown.advance(20)
    clock.now += 30
    shown.tick()
    live = read_live(config.output)
    assert live.volumes_per_second == pytest.approx(0.5)
    assert live.time_s - live.moved_s == pytest.approx(30, abs=0.1)
    assert live.time_s - live.started_s == pytest.approx(40, abs=0.1)


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (None, "done", 0),
        (StopRequested("asked to leave by SIGTERM"), "asked to leave by SIGTERM", 75),
        (DataError("the loss is not finite"), "the loss is not finite", 3),
        (KeyboardInterrupt(), "KeyboardInterrupt", 130),
        (ValueError("/scans/Jane_Doe.dcm"), "ValueError", 1),
    ],
)
def test_why_it_left_is_written_last_and_names_nothing_of_others(shown, config, error, reason, code):
    shown.opened(config)
    shown.phase(Position(1, Phase.TRAIN), 100)
    shown.close(error)
    live = read_live(config.output)
    assert (live.ended, live.exit_code, live.phase) == (reason, code, "train")
    shown.tick()
    shown.close()
    assert read_live(config.output) == live


def test_a_run_that_is_gone_costs_the_file_alone(shown, config, clock):
    shown.opened(config)
    shutil.rmtree(config.output)
    shown.phase(Position(0, Phase.EXTRACT), 10)
    shown.tick()
    shown.close()
    assert not config.output.exists()


def test_the_job_is_named(clock, config, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    file = LiveFile(Standing(config, clock))
    file.open(config.output)
    file.tick()
    assert json.loads((config.output / "progress.json").read_text())["job"] == "4711"
