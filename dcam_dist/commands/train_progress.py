"""What ``train`` shows on rank 0: a bar on a terminal, a line a minute in a batch log; on standard error."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, SupportsFloat, TextIO

from dcam_dist.commands.console_log import own_rank
from dcam_dist.commands.forecast import CYCLE, Forecast
from dcam_dist.commands.pace import Pace, duration
from dcam_dist.commands.ticking import has_room_for_a_bar, ticking
from dcam_dist.config import Config
from dcam_dist.training.progress import NO_PROGRESS, Progress
from dcam_dist.types import Phase, Position

FIRST_LINE_S, LINE_S = 30.0, 60.0
LOSS_S = 5.0
"""The loss is read this often: it may be on a device, which must finish its work first."""

WORDS = {
    Phase.EXTRACT: "extracting",
    Phase.CLUSTER: "clustering",
    Phase.RESET: "resetting the head",
    Phase.TRAIN: "training",
    Phase.DONE: "done",
}

Clock = Callable[[], float]


class View(Progress, Protocol):
    """Shows how far a training is; ticked by a thread of its own."""

    def tick(self) -> None:
        """Time has passed."""


@dataclass
class Standing:
    """Where the run stands, and what there is to say of it.

    Attributes:
        config: Of the run.
        clock: Seconds.
    """

    config: Config
    clock: Clock
    position: Position | None = None
    total: int = 0
    done: int = 0
    loss: float | None = None
    nmi: float | None = None
    _pace: Pace = field(default_factory=Pace)
    _read_s: float = float("-inf")
    _forecast: Forecast = field(init=False)

    def __post_init__(self) -> None:
        phases = (Phase.TRAIN,) if self.config.method == "supervised" else CYCLE
        self._forecast = Forecast(self.config.training.epochs, phases)

    def phase(self, position: Position, total: int, done: int) -> None:
        """See ``Progress``."""
        now = self.clock()
        self.position, self.total, self.done, self._pace = position, total, done, Pace()
        self._pace.add(now, done)
        self._forecast.begin(now, position, total, done)

    def advance(self, volumes: int, loss: SupportsFloat | None) -> None:
        """See ``Progress``."""
        now = self.clock()
        self.done += volumes
        self._pace.add(now, self.done)
        self._forecast.advance(self.done)
        if loss is not None and now - self._read_s >= LOSS_S:
            self.loss, self._read_s = float(loss), now

    def epoch(self, values: Mapping[str, Any]) -> None:
        """See ``Progress``."""
        self.loss, self.nmi = values.get("loss"), values.get("nmi_previous")

    def place(self) -> str:
        """Epoch and phase, in words."""
        if self.position is None:
            return "starting"
        epochs = self.config.training.epochs
        closing = self.position.epoch >= epochs
        turn = "closing" if closing else f"epoch {self.position.epoch + 1}/{epochs}"
        return f"{turn}, {WORDS[self.position.phase]}"

    def figures(self) -> list[str]:
        """Rate, loss, NMI, memory, time left: those that there are."""
        now = self.clock()
        rate, left = self._pace.rate(now) / 60.0, self._forecast.left_s(now)
        early = self.config.method == "supervised" and self.config.supervised.validation_fraction > 0
        known = {
            "{:.2f} volumes/s": rate if self.total and rate else None,
            "loss {:.4f}": self.loss,
            "NMI {:.3f}": self.nmi,
            "{:.1f} GiB": _memory_bytes() / 2**30,
            "at most {} left" if early else "{} left": None if left is None else duration(left),
        }
        return [words.format(value) for words, value in known.items() if value is not None]


class Lines:
    """A line 30 s after the first phase begins, and one a minute from then on."""

    def __init__(self, stream: TextIO, config: Config, clock: Clock) -> None:
        self._stream, self._clock, self._standing = stream, clock, Standing(config, clock)
        self._due_s: float | None = None

    def phase(self, position: Position, total: int, done: int = 0) -> None:
        """See ``Progress``."""
        if self._due_s is None:
            self._due_s = self._clock() + FIRST_LINE_S
        self._standing.phase(position, total, done)

    def advance(self, volumes: int, *, loss: SupportsFloat | None = None) -> None:
        """See ``Progress``."""
        self._standing.advance(volumes, loss)

    def epoch(self, values: Mapping[str, Any]) -> None:
        """See ``Progress``."""
        self._standing.epoch(values)

    def tick(self) -> None:
        """See ``View``."""
        if self._due_s is None or self._clock() < self._due_s:
            return
        self._due_s = self._clock() + LINE_S
        now = self._standing
        volumes = f" {now.done} of {now.total} volumes" if now.total else ""
        with suppress(OSError, ValueError):  # nobody reads any more; the work goes on
            # one write: the ranks share the log
            self._stream.write(f"train: {', '.join([now.place() + volumes, *now.figures()])}\n")
            self._stream.flush()

    def close(self) -> None:
        """See ``Progress``."""
        self._due_s = None


class Bar:
    """One bar for the phase in hand, with the run's figures beside it; gone when the training ends."""

    def __init__(self, stream: TextIO, config: Config, clock: Clock) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        self._standing = Standing(config, clock)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[state]}", table_column=Column(no_wrap=False)),
            console=Console(file=stream),
            auto_refresh=False,
            transient=True,
            get_time=clock,
        )
        self._task = self._bar.add_task("", total=None, state="")

    def phase(self, position: Position, total: int, done: int = 0) -> None:
        """See ``Progress``."""
        self._standing.phase(position, total, done)
        if not self._bar.live.is_started:
            self._bar.start()
        self.tick()

    def advance(self, volumes: int, *, loss: SupportsFloat | None = None) -> None:
        """See ``Progress``."""
        self._standing.advance(volumes, loss)

    def epoch(self, values: Mapping[str, Any]) -> None:
        """See ``Progress``."""
        self._standing.epoch(values)

    def tick(self) -> None:
        """See ``View``."""
        if not self._bar.live.is_started:
            return
        now = self._standing
        volumes = [f"{now.done}/{now.total}"] if now.total else []
        state = ", ".join([*volumes, *now.figures()])
        self._bar.update(self._task, description=now.place(), total=now.total or None, completed=now.done, state=state)
        self._bar.refresh()

    def close(self) -> None:
        """See ``Progress``."""
        self._bar.stop()


def view_for(stream: TextIO, config: Config, clock: Clock = time.monotonic) -> View:
    """A bar where the stream is a terminal that can draw one, else lines."""
    return Bar(stream, config, clock) if has_room_for_a_bar(stream) else Lines(stream, config, clock)


@contextmanager
def shown_training(config: Config) -> Iterator[Progress]:
    """A view on standard error that is kept up to date every second; on other ranks than 0 none."""
    if own_rank() != 0:
        yield NO_PROGRESS
        return
    view = view_for(sys.stderr, config)
    try:
        with ticking(view):
            yield view
    finally:
        view.close()


def _memory_bytes() -> int:
    import torch

    from dcam_dist.profiling import peak_memory_bytes

    # rank 0 has its node's first device
    return peak_memory_bytes("cuda:0" if torch.cuda.is_initialized() else "cpu")  # type: ignore[no-untyped-call]
