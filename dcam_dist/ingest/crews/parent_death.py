"""Loaded by each worker process first: it dies with the process that started it, whatever it is doing.

Dask's own watch is a thread, which waits while a reader holds the interpreter.
"""

from typing import Any

from dcam_dist.parent_death import die_with_parent


def dask_setup(worker: Any) -> None:
    """Called by Dask in the new worker process."""
    die_with_parent()
