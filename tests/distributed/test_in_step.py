"""A rank that hangs, dies, fails or is at another place stops all in time, with one line that names it."""

import os
import random
import signal
import time

import pytest
from support.launched import TORCHRUN, all_gone, launched, wait_for

pytestmark = pytest.mark.distributed

TIMEOUT_S = 3
NEXT = "start again: the run goes on from its last checkpoint"


def after_a_moment(seed):
    time.sleep(random.Random(seed).uniform(0.1, 1.0))


@pytest.mark.parametrize(("lost", "ranks"), [(1, 2), (0, 2), (0, 3), (2, 3)])
def test_a_stopped_rank_is_named_within_timeout_and_five_seconds(tmp_path, lost, ranks):
    with launched(tmp_path, "loop", TIMEOUT_S, ranks=ranks) as one:
        pids = one.ranks(ranks)
        after_a_moment(lost + ranks)
        os.kill(pids[lost], signal.SIGSTOP)
        survivors = [pid for rank, pid in enumerate(pids) if rank != lost]
        seconds = wait_for(lambda: all_gone(survivors), TIMEOUT_S + 5)
        assert one.end(15) == 4
        assert all_gone(pids)
    print(f"rank {lost} of {ranks} stopped: survivors gone after {seconds:.1f} s, timeout {TIMEOUT_S} s")
    (line,) = one.everything.splitlines()
    assert line.startswith(f"dcam-dist: lost rank {lost} (stopped by a signal) at epoch 1, train, step ")
    assert line.endswith(NEXT)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_rank_is_named_at_once(tmp_path, lost):
    with launched(tmp_path, "loop", 60) as one:
        pids = one.ranks()
        after_a_moment(lost)
        os.kill(pids[lost], signal.SIGKILL)
        wait_for(lambda: all_gone(pids), 5)
        assert one.end(15) == 4
    (line,) = one.everything.splitlines()
    assert line.startswith(f"dcam-dist: lost rank {lost} (died) at epoch 1, train, step ")


def test_under_plain_torchrun_the_line_is_the_same_and_its_exit_code_1(tmp_path):
    with launched(tmp_path, "loop", TIMEOUT_S, launcher=TORCHRUN) as one:
        pids = one.ranks()
        os.kill(pids[1], signal.SIGSTOP)
        wait_for(lambda: all_gone(pids[:1]), TIMEOUT_S + 5)
        os.kill(pids[1], signal.SIGKILL)  # torchrun itself would wait 30 s
        assert one.end(15) == 1
    (line,) = one.lines
    assert "lost rank 1 (stopped by a signal) at epoch 1" in line
    assert "exitcode  : 4" in one.everything


def test_a_rank_a_step_short_stops_all(tmp_path):
    with launched(tmp_path, "short", "guarded") as one:
        assert one.end() == 4
    (line,) = one.everything.splitlines()
    assert "out of step: rank 0 at step 4 (agreeing on the place); rank 1 at the end (agreeing on the place)" in line
    assert not list(tmp_path.glob("*.sum"))


def test_without_the_guard_a_rank_a_step_short_makes_a_wrong_sum_and_no_error(tmp_path):
    with launched(tmp_path, "short", "raw") as one:
        assert one.end() == 0
    sums = [float((tmp_path / f"{rank}.sum").read_text()) for rank in (0, 1)]
    assert sums == [1.0, 11.0]  # instead of 2.0 on both


def test_different_exchanges_are_told_apart(tmp_path):
    with launched(tmp_path, "differ") as one:
        assert one.end() == 4
    (line,) = one.everything.splitlines()
    assert "rank 0 at the start (sharing notes); rank 1 at the start (taking a maximum)" in line


def test_a_rank_that_works_elsewhere_for_too_long_is_named_with_its_place(tmp_path):
    with launched(tmp_path, "late", 3) as one:
        pids = one.ranks()
        wait_for(lambda: all_gone(pids[:1]), 3 + 5 + 1)
        os.kill(pids[1], signal.SIGKILL)
        assert one.end(15) == 4
    (line,) = one.everything.splitlines()
    assert "rank 1 did not come within 3 s (training.timeout_s): rank 0 at epoch 3, cluster (sharing notes)" in line
    assert "rank 1 at epoch 3, cluster (at work)" in line


def test_a_clean_up_that_hangs_holds_up_nothing(tmp_path):
    with launched(tmp_path, "cling", 20) as one:
        pids = one.ranks()
        os.kill(pids[1], signal.SIGKILL)
        wait_for(lambda: all_gone(pids), 5)
        assert one.end(15) == 4
    (line,) = one.everything.splitlines()
    assert line.startswith("dcam-dist: lost rank 1 (died) at epoch 1, train, step ")


def test_a_rank_that_waits_for_its_gpu_notices_a_stopped_one(tmp_path):
    with launched(tmp_path, "blocked", 3) as one:
        pids = one.ranks()
        os.kill(pids[1], signal.SIGSTOP)
        wait_for(lambda: all_gone(pids[:1]), 3 + 5)
        assert one.end(15) == 4
    (line,) = one.everything.splitlines()
    assert line.startswith("dcam-dist: lost rank 1 (stopped by a signal) at epoch 1, train, step 5; start again")


def test_ranks_that_work_for_long_without_an_exchange_are_left_alone(tmp_path):
    with launched(tmp_path, "blocked", 1.5, 6) as one:
        assert one.end() == 0
    assert sorted(one.lines) == ["rank 0 is through", "rank 1 is through"]
    assert one.everything.count("no exchange for 2 s (training.timeout_s), yet all ranks answer: rank") == 1


@pytest.mark.parametrize(
    ("how", "ranks", "code", "said"),
    [
        ("memory", "1", 4, "rank 1: GPU memory is full: 20.00 GiB more were asked for, 128.51 GiB were in use, the"),
        ("memory", "0,1", 4, "GPU memory is full"),
        ("damaged", "1", 3, "case001 is damaged"),
        ("data", "0,1", 3, "too few cases"),
        ("bug", "1", 1, "unexpected ZeroDivisionError: bug"),
    ],
)
def test_an_error_is_told_once_and_its_exit_code_is_the_launchers(tmp_path, how, ranks, code, said):
    with launched(tmp_path, "fail", how, ranks) as one:
        assert one.end() == code
    (line,) = one.everything.splitlines()
    assert said in line
