import signal

import pytest

from dcam_dist.distributed.agent import exit_code

TERM, KILL = -signal.SIGTERM, -signal.SIGKILL


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0, 0), 0),
        ((75, 75), 75),
        ((75, TERM), 75),
        ((3, 4), 3),  # the other one lost its peer
        ((KILL, 4), 4),
        ((1, 4), 1),
        ((2, TERM), 2),
        ((130, 130), 130),
    ],
)
def test_the_ranks_own_code_counts(codes, expected, capsys):
    assert exit_code(codes, []) == expected
    assert capsys.readouterr().err == ""


def test_where_no_rank_could_say_anything_the_launcher_does(capsys):
    assert exit_code((KILL, TERM), []) == 4
    assert capsys.readouterr().err.startswith("dcam-dist: a rank was ended by SIGKILL, SIGTERM")


def test_the_hint_at_memory_is_for_sigkill_alone(capsys):
    assert exit_code((-signal.SIGSEGV, 0), []) == 4
    assert capsys.readouterr().err == "dcam-dist: a rank was ended by SIGSEGV\n"


@pytest.mark.parametrize("asked", [[], [signal.SIGTERM]])
def test_an_exit_code_of_somebody_elses_is_told(capsys, asked):
    assert exit_code((7, TERM, 0), asked) == 1
    told = "dcam-dist: a rank ended with exit code 7, which is none of dcam-dist's; look at what it said before\n"
    assert capsys.readouterr().err == told


def test_ranks_ended_by_the_request_to_leave_may_be_requeued(capsys):
    assert exit_code((TERM, TERM), [signal.SIGTERM]) == 75
    assert "stopped on request" in capsys.readouterr().err
