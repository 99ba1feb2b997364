"""What a command shows goes on while its work stands still."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

TICK_S = 1.0


class Ticked(Protocol):
    """Something that is told that time has passed."""

    def tick(self) -> None:
        """Time has passed."""


def has_room_for_a_bar(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can draw over what it has shown."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


@contextmanager
def ticking(view: Ticked) -> Iterator[None]:
    """Tick a view every second, from a thread of its own."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(TICK_S):
            view.tick()

    thread = threading.Thread(target=keep, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
