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


def test_ranks_ended_by_the_request_to_leave_may_be_requeued(capsys):
    assert exit_code((TERM, TERM), [signal.SIGTERM]) == 75
    assert "stopped on request" in capsys.readouterr().err
