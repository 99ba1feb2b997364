"""Metrics on the disk: every epoch once, whatever the starts and the disk."""

import json
import math
import resource
import signal
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dcam_dist.errors import EnvironmentFault
from dcam_dist.runs.metrics_lines import read_metrics
from dcam_dist.runs.metrics_log import MetricsLog


def record(epoch, loss=1.0):
    return {"epoch": epoch, "loss": loss, "seconds": {"train": 2.0}, "cluster_sizes": [3, 4], "precision": "fp32"}


def write(run, completed, epochs, loss=1.0):
    with MetricsLog(run, completed) as log:
        for epoch in epochs:
            log.write(record(epoch, loss))


def on_board(run, tag):
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    return [(event.step, event.value) for event in board.Scalars(tag)]


def test_a_line_and_scalars_an_epoch(tmp_path):
    write(tmp_path, 0, range(3))
    assert read_metrics(tmp_path) == [record(epoch) for epoch in range(3)]
    assert on_board(tmp_path, "loss") == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert on_board(tmp_path, "seconds/train") == [(0, 2.0), (1, 2.0), (2, 2.0)]
    assert on_board(tmp_path, "cluster_sizes/1") == [(0, 4.0), (1, 4.0), (2, 4.0)]


@pytest.mark.parametrize(("completed", "losses"), [(0, [2.0]), (2, [1.0, 1.0, 2.0]), (3, [1.0, 1.0, 1.0, 2.0])])
def test_a_resumed_run_tells_each_epoch_once(tmp_path, completed, losses):
    """Inside epoch 2 the completed ones are 0 and 1: the line of 2, written before the checkpoint failed, goes."""
    write(tmp_path, 0, range(3))
    write(tmp_path, completed, [completed], loss=2.0)
    assert [line["loss"] for line in read_metrics(tmp_path)] == losses
    assert on_board(tmp_path, "loss") == list(enumerate(losses))


def test_a_line_that_was_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path):
    write(tmp_path, 0, range(2))
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "lo')
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [0, 1]
    write(tmp_path, 2, [2])
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize("damage", [b"\xff\xfe{", b"[1, 2]", b"7", b'{"loss": 1}', b"", b'{"epoch": "two"}'])
def test_a_damaged_line_costs_itself_alone(tmp_path, damage):
    write(tmp_path, 0, range(3))
    lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines()
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([lines[0], damage, lines[2], b""]))
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [0, 2]
    write(tmp_path, 3, [3])
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [0, 2, 3]


def test_what_is_not_finite_is_null_and_no_scalar(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        log.write({"epoch": 0, "loss": math.nan, "seconds": {"train": math.inf}, "sizes": (1, math.nan), "hits": 1.0})
    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert line == {"epoch": 0, "loss": None, "seconds": {"train": None}, "sizes": [1, None], "hits": 1.0}
    assert on_board(tmp_path, "hits") == [(0, 1.0)]


@pytest.mark.parametrize("blocked", [".metrics.jsonl", "tensorboard"])
def test_what_cannot_be_written_is_one_line_that_names_it(tmp_path, blocked):
    if blocked == "tensorboard":
        (tmp_path / blocked).write_text("")
    else:
        (tmp_path / blocked).mkdir()
    with pytest.raises(EnvironmentFault, match=rf"{blocked.strip('.')}: cannot be written \(.+\); ") as caught:
        MetricsLog(tmp_path, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("full", ["metrics.jsonl", "tensorboard"])
def test_a_disk_that_fills_up_stops_with_one_line_and_no_traceback_and_a_later_start_goes_on(tmp_path, full):
    # no file may grow beyond 20,000 bytes; TensorBoard's repeats a list's name for each item, the other has the text
    values = {"x" * 200: [1.0] * 20} if full == "tensorboard" else {"note": "y" * 3000}
    code = f"""
from pathlib import Path
from dcam_dist.errors import EnvironmentFault
from dcam_dist.runs.metrics_log import MetricsLog
try:
    with MetricsLog(Path({str(tmp_path)!r}), 0) as log:
        for epoch in range(1000):
            log.write({{"epoch": epoch, **{values!r}}})
except EnvironmentFault as fault:
    print(fault)
"""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limit, check=True, timeout=100
    )
    assert ended.stderr == ""
    (line,) = ended.stdout.splitlines()
    assert full in line and "cannot be written (File too large); make room" in line
    done = len(read_metrics(tmp_path))
    assert 2 < done < 1000
    write(tmp_path, 2, [2])
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [0, 1, 2]


def test_a_new_line_is_on_the_disk_when_write_returns(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        log.write(record(0))
        assert [line["epoch"] for line in read_metrics(tmp_path)] == [0]
        assert on_board(tmp_path, "loss") == [(0, 1.0)]
