"""Ctrl-C while processes are started: it reaches every process of the terminal, and none of them in a good moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let SIGINT wait until the end, and let every process that is started by what is started within ignore it.

    Raises:
        KeyboardInterrupt: In the end, when there was one.
    """
    held: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number)) if here else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by threads, and by their processes
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if here:
            signal.signal(signal.SIGINT, handler)
    if held:
        raise KeyboardInterrupt
