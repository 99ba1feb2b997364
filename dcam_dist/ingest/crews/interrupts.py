"""Ctrl-C and stop requests while processes are started: they reach every process, and none of them in a good moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let these signals wait until the end, and let every process that is started within ignore SIGINT.

    Raises:
        KeyboardInterrupt: In the end, when there was one and the process makes that of it.
    """
    held: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.signal(number, lambda came, _: held.append(came)) for number in HELD if here}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by threads, and by their processes
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for came in held:
        signal.raise_signal(came)
