"""What ``train`` shows: a bar on a terminal, lines in a log, both from a clock that the test turns."""

import io
import os
import pty
import re
import select
import sys
from contextlib import contextmanager

import pytest

from dcam_dist.commands import standing
from dcam_dist.commands.forecast import Forecast
from dcam_dist.commands.standing import Standing
from dcam_dist.commands.train_progress import Bar, Lines, Shown, shown_training, view_for
from dcam_dist.config import load_config
from dcam_dist.training.progress import NO_PROGRESS
from dcam_dist.types import Phase, Position


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def two_gib(monkeypatch):
    monkeypatch.setattr(standing, "_memory_bytes", lambda: 2 * 2**30)


@pytest.fixture
def clock():
    return Clock()


def config(*settings):
    return load_config(None, ["training.epochs=3", *settings])


def work(view, clock, seconds, volumes=0, each=10, loss=None):
    """So much time with so many volumes in it, ticked every second."""
    for second in range(1, seconds + 1):
        clock.now += 1
        if volumes and second % each == 0:
            view.advance(volumes, loss=loss)
        view.tick()


def epoch(view, clock, number):
    """Extraction 40 s, clustering 20 s, training 60 s."""
    view.phase(Position(number, Phase.EXTRACT), 40)
    work(view, clock, 40, 10)
    view.phase(Position(number, Phase.CLUSTER), 0)
    work(view, clock, 20)
    view.phase(Position(number, Phase.TRAIN), 30)
    work(view, clock, 60, 5, loss=1.5)
    view.epoch({"loss": 1.25, "nmi_previous": 0.5})


def test_a_batch_log_gets_its_first_line_after_30_s_and_one_a_minute_from_then_on(clock):
    stream = io.StringIO()
    view = Shown(stream, config(), clock)
    work(view, clock, 100)  # nothing has begun
    for number in range(3):
        epoch(view, clock, number)
    view.phase(Position(3, Phase.EXTRACT), 40)
    work(view, clock, 20, 10)
    view.close()
    work(view, clock, 100)
    assert stream.getvalue().splitlines() == [
        "train: epoch 1/3, extracting 30 of 40 volumes, 1.00 volumes/s, 2.0 GiB",
        "train: epoch 1/3, training 15 of 30 volumes, 0.50 volumes/s, loss 1.5000, 2.0 GiB, 6 min left",
        "train: epoch 2/3, extracting 30 of 40 volumes, 1.00 volumes/s, loss 1.2500, NMI 0.500, 2.0 GiB, 4 min left",
        "train: epoch 2/3, training 15 of 30 volumes, 0.50 volumes/s, loss 1.5000, NMI 0.500, 2.0 GiB, 4 min left",
        "train: epoch 3/3, extracting 30 of 40 volumes, 1.00 volumes/s, loss 1.2500, NMI 0.500, 2.0 GiB, 2 min left",
        "train: epoch 3/3, training 15 of 30 volumes, 0.50 volumes/s, loss 1.5000, NMI 0.500, 2.0 GiB, 2 min left",
    ]


def test_a_log_goes_on_while_the_work_stands_still_and_the_rate_falls(clock):
    stream = io.StringIO()
    view = Shown(stream, config(), clock)
    view.phase(Position(0, Phase.TRAIN), 100)
    work(view, clock, 30, 10)
    work(view, clock, 120)
    assert re.findall(r"training (\d+) of 100 volumes, ([\d.]+) volumes/s", stream.getvalue()) == [
        ("30", "1.00"),
        ("30", "0.33"),
        ("30", "0.20"),
    ]


def test_a_phase_that_was_begun_by_an_earlier_start_shows_its_volumes_and_its_own_rate(clock):
    stream = io.StringIO()
    view = Shown(stream, config(), clock)
    view.phase(Position(1, Phase.TRAIN, 20), 100, 80)
    work(view, clock, 30, 2)
    assert "training 86 of 100 volumes, 0.20 volumes/s" in stream.getvalue()


def test_the_loss_is_read_now_and_then_and_by_the_caller_alone(clock):
    class OnDevice:
        read = 0

        def __float__(self):
            OnDevice.read += 1
            return 2.0

    view = Shown(io.StringIO(), config(), clock)
    view.phase(Position(0, Phase.TRAIN), 10_000)
    for _ in range(1000):
        clock.now += 0.01
        view.advance(1, loss=OnDevice())
    assert OnDevice.read == 2
    work(view, clock, 300)
    assert OnDevice.read == 2


def test_a_supervised_run_may_end_early(clock):
    stream = io.StringIO()
    view = Shown(stream, config("method=supervised", "supervised.validation_fraction=0.2"), clock)
    view.phase(Position(0, Phase.TRAIN), 60)
    work(view, clock, 30, 10)
    assert stream.getvalue().rstrip().endswith("at most 2 min left")  # 30 s of this epoch and 60 s of two others


def test_the_time_left_is_told_once_all_that_is_to_come_has_been_seen():
    forecast, said = Forecast(epochs=2), []
    for now, phase, total in ((0, Phase.EXTRACT, 10), (30, Phase.CLUSTER, 0), (50, Phase.TRAIN, 10)):
        forecast.begin(now, Position(0, phase), total, 0)
        said.append(forecast.left_s(now + 1))
    assert said == [None, None, None]
    forecast.advance(5)
    assert forecast.left_s(100) == pytest.approx(50 + (30 + 20 + 100) + (30 + 20))
    forecast.begin(150, Position(1, Phase.EXTRACT), 10, 0)
    assert forecast.left_s(150) == pytest.approx((30 + 20 + 100) + (30 + 20))
    forecast.begin(180, Position(1, Phase.CLUSTER), 0, 0)
    assert forecast.left_s(190) == pytest.approx((10 + 100) + (30 + 20))
    forecast.begin(200, Position(1, Phase.TRAIN), 10, 0)
    forecast.begin(300, Position(2, Phase.EXTRACT), 10, 0)
    forecast.advance(5)
    assert forecast.left_s(315) == pytest.approx(15 + 20)
    forecast.begin(330, Position(2, Phase.CLUSTER), 0, 0)
    assert forecast.left_s(400) == 0.0  # it takes longer than the others
    forecast.begin(400, Position(2, Phase.DONE), 0, 0)
    assert forecast.left_s(400) is None


def test_half_a_phase_is_no_measure_of_a_whole_one_and_one_slow_phase_not_of_the_others():
    forecast = Forecast(epochs=10, phases=(Phase.TRAIN,))
    forecast.begin(0, Position(0, Phase.TRAIN, 9), 100, 90)  # resumed; the rest took 1 s
    forecast.begin(1, Position(1, Phase.TRAIN), 100, 0)
    assert forecast.left_s(2) is None
    now = 1
    for number, seconds in enumerate((10, 10, 500, 10), start=2):
        now += seconds
        forecast.begin(now, Position(number, Phase.TRAIN), 100, 0)
    assert forecast.left_s(now) == pytest.approx(5 * 10)


@contextmanager
def _terminal(columns, monkeypatch):
    """A stream that is a terminal, and a function that gives what it shows once a text has come."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    leader, follower = pty.openpty()
    seen = ""

    def shows(text):
        nonlocal seen
        while text not in seen:
            assert select.select([leader], [], [], 10)[0], seen
            seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(leader, 65536).decode(errors="replace"))
        return seen

    with os.fdopen(follower, "w") as stream:
        yield stream, shows
    os.close(leader)


def test_a_terminal_gets_a_bar_with_all_of_it(clock, monkeypatch):
    with _terminal(150, monkeypatch) as (stream, shows):
        assert isinstance(view_for(stream, Standing(config(), clock)), Bar)
        view = Shown(stream, config(), clock)
        view.tick()  # nothing has begun
        epoch(view, clock, 0)
        view.phase(Position(1, Phase.TRAIN), 30)
        work(view, clock, 20, 5, loss=1.125)
        assert shows("epoch 2/3, training")
        assert shows("10/30, 0.50 volumes/s, loss 1.1250, NMI 0.500, 2.0 GiB, 4 min left")
        view.close()
        view.tick()
        view.close()


@pytest.mark.parametrize("kind", ["dumb", "unknown", None])
def test_a_terminal_that_cannot_draw_gets_lines(kind, clock, monkeypatch):
    with _terminal(100, monkeypatch) as (stream, _):
        monkeypatch.delenv("TERM") if kind is None else monkeypatch.setenv("TERM", kind)
        assert isinstance(view_for(stream, Standing(config(), clock)), Lines)


def test_a_log_line_stands_above_the_bar(clock, monkeypatch):
    with _terminal(150, monkeypatch) as (stream, shows):
        monkeypatch.setattr(sys, "stderr", stream)
        view = Shown(stream, config(), clock)
        view.phase(Position(0, Phase.TRAIN), 30)
        sys.stderr.write("epoch 1/3, loss 1.5\n")
        seen = shows("epoch 1/3, loss 1.5\r\n")
        assert "epoch 1/3, training" in seen.split("epoch 1/3, loss 1.5")[-1] or shows("training")
        view.close()
        assert sys.stderr is stream


def test_only_rank_0_shows_anything(monkeypatch, capfd):
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with shown_training(config()) as view:
        assert view is NO_PROGRESS
    for name in ("LOCAL_RANK", "RANK"):
        monkeypatch.setenv(name, "0")
    with shown_training(config()) as view:
        assert isinstance(view, Shown)
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_went_away_does_not_end_the_training(clock):
    class Gone(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    view = Shown(Gone(), config(), clock)
    view.phase(Position(0, Phase.TRAIN), 30)
    work(view, clock, 100, 1)
