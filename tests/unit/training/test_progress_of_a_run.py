"""What a whole run tells those who follow it, stopped inside an epoch and gone on with."""

import json
import os
import signal

import pytest
from support.cohorts import settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcam_dist.config import load_config
from dcam_dist.errors import StopRequested
from dcam_dist.training import train
from dcam_dist.types import Phase, Position

TIMES = ("seconds", "stall_", "extract_stall_", "volumes_per_second", "peak_memory_bytes")


class Followed:
    """Writes down what it is told; asks the run to leave after so many volumes of one phase."""

    def __init__(self, leave_at=None):
        self.phases, self.epochs, self._leave_at = [], [], leave_at
        self.opened_runs, self.closed = [], []

    def opened(self, config):
        self.opened_runs.append(config.output)

    def phase(self, position, total, done=0):
        self.phases.append([position, total, done, 0])

    def advance(self, volumes, *, loss=None):
        self.phases[-1][3] += volumes
        assert loss is None or float(loss) > 0
        if self._leave_at == (self.phases[-1][0].epoch, self.phases[-1][0].phase, self.phases[-1][3]):
            os.kill(os.getpid(), signal.SIGTERM)

    def epoch(self, values):
        self.epochs.append(values["epoch"])

    def close(self, error=None):
        self.closed.append(type(error))


def start(cohort, run, follower, **chosen):
    overrides = {"training__epochs": 3, "training__rank_logs": True, **chosen}
    return train(load_config(None, settings(cohort, output=run, **overrides)), progress=follower)


def lines(run):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if not name.startswith(TIMES)} for record in records]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, small_cohort):
    """A run that left inside its second epoch, and what its two starts told."""
    run, first, second = tmp_path_factory.mktemp("stopped") / "run", Followed((1, Phase.TRAIN, 4)), Followed()
    with pytest.raises(StopRequested):
        start(small_cohort, run, first)
    before = lines(run)
    start(small_cohort, run, second)
    return run, first, second, before


def test_each_phase_is_told_with_its_volumes_and_those_done_by_an_earlier_start(stopped):
    run, first, second, _ = stopped
    told = [(position, total, done) for position, total, done, _ in first.phases]
    assert told == [
        (Position(0, Phase.EXTRACT), 9, 0),
        (Position(0, Phase.CLUSTER), 0, 0),
        (Position(0, Phase.TRAIN), 12, 0),
        (Position(1, Phase.EXTRACT), 9, 0),
        (Position(1, Phase.CLUSTER), 0, 0),
        (Position(1, Phase.TRAIN), 12, 0),
    ]
    assert [done for position, _, _, done in first.phases if position.phase is Phase.TRAIN] == [12, 4]
    assert second.phases[0] == [Position(1, Phase.TRAIN, 1), 12, 4, 8]
    assert [position for position, *_ in second.phases[-2:]] == [Position(3, Phase.EXTRACT), Position(3, Phase.CLUSTER)]
    assert (first.epochs, second.epochs) == ([0], [1, 2])
    assert first.opened_runs == second.opened_runs == [run]
    assert (first.closed, second.closed) == ([StopRequested], [type(None)])


def test_metrics_are_those_of_a_run_that_was_never_stopped(stopped, tmp_path, small_cohort):
    run, _, _, before = stopped
    start(small_cohort, tmp_path / "whole", Followed())
    assert [line["epoch"] for line in before] == [0]
    ours, whole = ([{**line, "checkpoint_seconds": 0} for line in lines(one)] for one in (run, tmp_path / "whole"))
    assert ours == whole
    assert [line["epoch"] for line in ours] == [0, 1, 2]


def test_tensorboard_tells_each_epoch_once(stopped):
    board = EventAccumulator(str(stopped[0] / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == [0, 1, 2]


def test_the_log_of_the_rank_tells_both_starts_and_why_the_first_ended(stopped):
    log = (stopped[0] / "logs" / "rank-0000.log").read_text()
    assert log.count("---- rank 0 of 1 starts ----") == 2
    assert "INFO ends: asked to leave by SIGTERM: saved at epoch 2, train, step 2" in log
    assert "INFO epoch 2, train, step 2: begins, 8 volumes" in log and log.rstrip().endswith("INFO ends")
    assert "INFO epoch 3/3, loss " in log


def test_every_record_says_how_it_was_made(stopped):
    records = [json.loads(line) for line in (stopped[0] / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        assert (record["ranks"], record["precision"], record["skipped_steps"]) == (1, "fp32", 0)
        assert record["learning_rate_factor"] == 1.0 and record["peak_memory_bytes"] > 2**20
    assert records[1]["checkpoint_seconds"] >= 0 and records[2]["checkpoint_seconds"] > 0
