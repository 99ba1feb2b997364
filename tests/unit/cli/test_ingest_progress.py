"""What ``ingest`` shows: a bar on a terminal, lines in a log, both from a clock that the test turns."""

import io
import os
import pty
import re
import select
from contextlib import contextmanager

import pytest

from dcam_dist.commands.ingest_progress import Bar, Lines, shown_progress, view_for
from dcam_dist.commands.pace import Pace, duration


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@contextmanager
def _terminal():
    """A stream that is a terminal, and a function that reads from it until a text has come."""
    leader, follower = pty.openpty()

    def shows(text):
        seen = ""
        while text not in seen:
            assert select.select([leader], [], [], 10)[0], seen
            seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(leader, 65536).decode(errors="replace"))
        return True

    with os.fdopen(follower, "w") as stream:
        yield stream, shows
    os.close(leader)


def test_a_batch_log_gets_a_line_at_the_start_every_30_s_and_at_the_end():
    clock, stream = Clock(), io.StringIO()
    view = view_for(stream, clock)
    assert isinstance(view, Lines)
    view.looked(5000, 0)
    for _ in range(31):
        clock.now += 1
        view.tick()
    view.looked(5000, 5000)
    view.cases(0, 300, 0)
    for second in range(1, 91):
        clock.now += 1
        if second % 10 == 0:
            view.cases(second // 10, 300, second // 45)
        view.tick()
    view.close(finished=True)
    assert stream.getvalue().splitlines() == [
        "ingest: looking for scans: 5000 files found, 0 read",
        "ingest: scans found: 300",
        "ingest: 3 of 300 scans done, 0 set aside, 6.0 scans/min, 50 min left",
        "ingest: 6 of 300 scans done, 1 set aside, 6.0 scans/min, 49 min left",
        "ingest: 9 of 300 scans done, 2 set aside, 6.0 scans/min, 48 min left",
        "ingest: 9 of 300 scans done, 2 set aside, in 2 min",
    ]


def test_a_log_goes_on_while_no_case_is_done():
    clock, stream = Clock(), io.StringIO()
    view = Lines(stream, clock)
    view.cases(0, 2, 0)
    for _ in range(4):
        clock.now += 30
        view.tick()
    assert stream.getvalue().count("0 of 2 scans done, 0 set aside, no rate yet") == 4


def test_nothing_found_leaves_no_line_of_an_end():
    stream = io.StringIO()
    Lines(stream, Clock()).close(finished=True)
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_with_rate_time_left_and_cases_set_aside(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    clock = Clock()
    with _terminal() as (stream, shows):
        view = view_for(stream, clock)
        assert isinstance(view, Bar)
        view.looked(12, 7)
        view.tick()
        assert shows("12 files found, 7 read")
        view.cases(0, 40, 0)
        clock.now += 60
        view.cases(4, 40, 1)
        assert shows("4/40, 1 set aside, 4.0 scans/min, 9 min left")
        clock.now += 60
        view.tick()
        assert shows("4/40, 1 set aside, 2.0 scans/min, 18 min left")
        view.close(finished=True)
        assert shows("\n")


def test_standard_error_is_used_and_standard_output_left_alone(capfd):
    with shown_progress() as view:
        view.cases(0, 1, 0)
        view.cases(1, 1, 0)
    out, err = capfd.readouterr()
    assert out == "" and err.splitlines()[0] == "ingest: scans found: 1"


def test_an_ingest_that_fails_is_not_summed_up_before_the_reason(capfd):
    with pytest.raises(KeyboardInterrupt), shown_progress() as view:
        view.cases(0, 3, 0)
        raise KeyboardInterrupt
    assert capfd.readouterr().err == "ingest: scans found: 3\n"


def test_the_rate_forgets_what_went_at_another_pace():
    pace = Pace()
    for second in range(101):
        pace.add(second, second * 10)  # stored by an earlier call
    assert pace.rate(100) == pytest.approx(600)
    for minute in range(1, 21):
        pace.add(100 + minute * 60, 1000 + minute)
    assert pace.rate(100 + 20 * 60) == pytest.approx(1.0, rel=0.01)
    assert "1.0 scans/min, 30 min left" in pace.ahead(100 + 20 * 60, 1050)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "3 s"), (89, "89 s"), (90, "2 min"), (7100, "118 min"), (7260, "2 h 01 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
