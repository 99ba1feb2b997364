"""What ``select-k`` shows while it works: a bar on a terminal, a line a number of clusters in a batch log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from dcam_dist.commands.pace import duration
from dcam_dist.commands.ticking import has_room_for_a_bar, ticking

Clock = Callable[[], float]


class View(Protocol):
    """Shows how far the clusterings are. Told after each, ticked by a thread of its own."""

    def fitted(self, done: int, total: int, clusters: int) -> None:
        """So many clusterings are done, of so many, the last with so many clusters."""

    def tick(self) -> None:
        """Time has passed."""

    def close(self) -> None:
        """Nothing will follow."""


class Lines:
    """A line when a number of clusters is done."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream, self._clock, self._started = stream, clock, clock()
        self._state: tuple[int, int, int] | None = None

    def fitted(self, done: int, total: int, clusters: int) -> None:
        """See ``View``."""
        before, self._state = self._state, (done, total, clusters)
        if before is not None and before[2] != clusters:
            self._say(*before)
        if done == total:
            self._say(done, total, clusters)

    def tick(self) -> None:
        """See ``View``."""

    def close(self) -> None:
        """See ``View``."""

    def _say(self, done: int, total: int, clusters: int) -> None:
        left = (self._clock() - self._started) / done * (total - done)
        ahead = f", about {duration(left)} left" if done < total else ""
        print(f"select-k: K = {clusters} done, {done} of {total} clusterings{ahead}", file=self._stream, flush=True)


class Bar:
    """A bar with the number of clusters in hand."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed} of {task.total} clusterings"),
            TimeRemainingColumn(),
            console=Console(file=stream),
            auto_refresh=False,
            get_time=clock,
        )
        self._task = self._bar.add_task("reading features", total=None)
        self._bar.start()

    def fitted(self, done: int, total: int, clusters: int) -> None:
        """See ``View``."""
        self._bar.update(self._task, description=f"K = {clusters}", total=total, completed=done)

    def tick(self) -> None:
        """See ``View``."""
        self._bar.refresh()

    def close(self) -> None:
        """See ``View``."""
        self.tick()
        self._bar.stop()


def view_for(stream: TextIO, clock: Clock = time.monotonic) -> View:
    """A bar where the stream is a terminal that can draw one, else lines."""
    return Bar(stream, clock) if has_room_for_a_bar(stream) else Lines(stream, clock)


@contextmanager
def shown_progress() -> Iterator[View]:
    """A view on standard error."""
    view = view_for(sys.stderr)
    try:
        with ticking(view):
            yield view
    finally:
        view.close()
