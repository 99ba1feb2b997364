"""Loaded by each worker process first: it dies with the process that started it, whatever it is doing.

Dask's own watch is a thread, which waits while a reader holds the interpreter.
"""

import ctypes
import os
import signal
from typing import Any

_PR_SET_PDEATHSIG = 1


def dask_setup(worker: Any) -> None:
    """Called by Dask in the new worker process."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died in between
        os._exit(1)
