"""What ``ingest`` and ``infer`` show meanwhile, on standard error: a bar on a terminal, else lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from dcam_dist.commands.pace import Pace, duration
from dcam_dist.commands.ticking import has_room_for_a_bar, ticking

LINE_S = 30.0

Clock = Callable[[], float]


class View(Protocol):
    """Shows how far ``ingest`` or ``infer`` is. Told by it, ticked by a thread of its own."""

    def looked(self, found: int, read: int) -> None:
        """So many files were found in search of scans, and so many of them read."""

    def cases(self, done: int, total: int, aside: int) -> None:
        """So many cases are done, of so many, with so many set aside."""

    def tick(self) -> None:
        """Time has passed."""

    def close(self, *, finished: bool) -> None:
        """Nothing will follow; unless finished, an error will say why."""


class Lines:
    """One line at the start, one every 30 s, one at the end."""

    def __init__(self, stream: TextIO, clock: Clock, verb: str = "ingest") -> None:
        self._stream, self._clock, self._pace, self._verb = stream, clock, Pace(), verb
        self._started = self._last = clock()
        self._files, self._counts = "no files found yet", (0, 0, 0)

    def looked(self, found: int, read: int) -> None:
        """See ``View``."""
        self._files = f"{found} files found, {read} read"

    def cases(self, done: int, total: int, aside: int) -> None:
        """See ``View``."""
        first, self._counts = not self._counts[1], (done, total, aside)
        self._pace.add(self._clock(), done)
        if first:
            self._say(f"scans found: {total}")

    def tick(self) -> None:
        """See ``View``."""
        if self._clock() - self._last >= LINE_S:
            self._say(self._state() if self._counts[1] else f"looking for scans: {self._files}")

    def close(self, *, finished: bool) -> None:
        """See ``View``."""
        done, total, aside = self._counts
        if total and finished:
            took = duration(self._clock() - self._started)
            self._say(f"{done} of {total} scans done, {aside} set aside, in {took}")

    def _state(self) -> str:
        done, total, aside = self._counts
        ahead = self._pace.ahead(self._clock(), total) or "no rate yet"
        return f"{done} of {total} scans done, {aside} set aside, {ahead}"

    def _say(self, text: str) -> None:
        self._last = self._clock()
        print(f"{self._verb}: {text}", file=self._stream, flush=True)


class Bar:
    """A bar with rate, time left and the count of cases set aside."""

    def __init__(self, stream: TextIO, clock: Clock, verb: str = "ingest") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._clock, self._pace, self._counts, self._verb = clock, Pace(), (0, 0, 0), verb
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}"),
            console=Console(file=stream),
            auto_refresh=False,
            get_time=clock,
        )
        self._task = self._bar.add_task("looking for scans", total=None, state="")
        self._bar.start()

    def looked(self, found: int, read: int) -> None:
        """See ``View``."""
        self._bar.update(self._task, state=f"{found} files found, {read} read")

    def cases(self, done: int, total: int, aside: int) -> None:
        """See ``View``."""
        self._counts = done, total, aside
        self._pace.add(self._clock(), done)
        self._bar.update(self._task, description=self._verb, total=total, completed=done)
        self.tick()

    def tick(self) -> None:
        """See ``View``."""
        done, total, aside = self._counts
        if total:
            ahead = self._pace.ahead(self._clock(), total)
            state = f"{done}/{total}, {aside} set aside{', ' * bool(ahead)}{ahead}"
            self._bar.update(self._task, state=state)
        self._bar.refresh()

    def close(self, *, finished: bool) -> None:
        """See ``View``."""
        self.tick()
        self._bar.stop()


def view_for(stream: TextIO, clock: Clock = time.monotonic, verb: str = "ingest") -> View:
    """A bar where the stream is a terminal that can draw one, else lines."""
    return (Bar if has_room_for_a_bar(stream) else Lines)(stream, clock, verb)


@contextmanager
def shown_progress(verb: str = "ingest") -> Iterator[View]:
    """A view on standard error that is kept up to date every second, though no case be done."""
    view, finished = view_for(sys.stderr, verb=verb), False
    try:
        with ticking(view):
            yield view
        finished = True
    finally:
        view.close(finished=finished)
