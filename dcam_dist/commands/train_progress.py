"""What ``train`` shows on rank 0: a bar on a terminal, a line a minute in a batch log; on standard error."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol, SupportsFloat, TextIO

from dcam_dist.commands.console_log import own_rank
from dcam_dist.commands.live_file import LiveFile
from dcam_dist.commands.standing import Clock, Standing
from dcam_dist.commands.ticking import has_room_for_a_bar, ticking
from dcam_dist.config import Config
from dcam_dist.training.progress import NO_PROGRESS, Progress
from dcam_dist.types import Position

FIRST_LINE_S, LINE_S = 30.0, 60.0


class View(Protocol):
    """Shows on a console where a training stands; ticked by a thread of its own."""

    def begin(self) -> None:
        """A phase begins."""

    def tick(self) -> None:
        """Time has passed."""

    def close(self) -> None:
        """Nothing will follow."""


class Lines:
    """A line 30 s after the first phase begins, and one a minute from then on."""

    def __init__(self, stream: TextIO, standing: Standing) -> None:
        self._stream, self._standing = stream, standing
        self._due_s: float | None = None

    def begin(self) -> None:
        """See ``View``."""
        if self._due_s is None:
            self._due_s = self._standing.clock() + FIRST_LINE_S

    def tick(self) -> None:
        """See ``View``."""
        if self._due_s is None or self._standing.clock() < self._due_s:
            return
        self._due_s = self._standing.clock() + LINE_S
        now = self._standing
        volumes = f" {now.done} of {now.total} volumes" if now.total else ""
        with suppress(OSError, ValueError):  # nobody reads any more; the work goes on
            # one write: the ranks share the log
            self._stream.write(f"train: {', '.join([now.place() + volumes, *now.figures()])}\n")
            self._stream.flush()

    def close(self) -> None:
        """See ``View``."""
        self._due_s = None


class Bar:
    """One bar for the phase in hand, with the run's figures beside it; gone when the training ends."""

    def __init__(self, stream: TextIO, standing: Standing) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        self._standing = standing
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[state]}", table_column=Column(no_wrap=False)),
            console=Console(file=stream),
            auto_refresh=False,
            transient=True,
            get_time=standing.clock,
        )
        self._task = self._bar.add_task("", total=None, state="")

    def begin(self) -> None:
        """See ``View``."""
        if not self._bar.live.is_started:
            self._bar.start()
        self.tick()

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
        """See ``View``."""
        self._bar.stop()


def view_for(stream: TextIO, standing: Standing) -> View:
    """A bar where the stream is a terminal that can draw one, else lines."""
    return Bar(stream, standing) if has_room_for_a_bar(stream) else Lines(stream, standing)


class Shown:
    """Is told of a training, and has it shown on a console and in the run's live file."""

    def __init__(self, stream: TextIO, config: Config, clock: Clock = time.monotonic) -> None:
        self._standing = Standing(config, clock)
        self._view, self._file = view_for(stream, self._standing), LiveFile(self._standing)

    def opened(self, config: Config) -> None:
        """See ``Progress``."""
        if config.output is not None:
            self._file.open(config.output)

    def phase(self, position: Position, total: int, done: int = 0) -> None:
        """See ``Progress``."""
        self._standing.phase(position, total, done)
        self._view.begin()
        self._file.begin()

    def advance(self, volumes: int, *, loss: SupportsFloat | None = None) -> None:
        """See ``Progress``."""
        self._standing.advance(volumes, loss)

    def epoch(self, values: Mapping[str, Any]) -> None:
        """See ``Progress``."""
        self._standing.epoch(values)

    def tick(self) -> None:
        """Time has passed."""
        self._view.tick()
        self._file.tick()

    def close(self, error: BaseException | None = None) -> None:
        """See ``Progress``."""
        self._view.close()
        self._file.close(error)


@contextmanager
def shown_training(config: Config) -> Iterator[Progress]:
    """A view on standard error and a live file, both kept up to date; on other ranks than 0 neither."""
    if own_rank() != 0:
        yield NO_PROGRESS
        return
    shown = Shown(sys.stderr, config)
    try:
        with ticking(shown):
            yield shown
    finally:
        shown.close()
