"""What the fan-out needs of worker processes, wherever they run, and the settings that all of them share."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from distributed import Client

from dcam_dist.errors import EnvironmentFault
from dcam_dist.ingest.crews.ground import Ground

PATIENCE_S = 60.0
"""So long a crew may be without any worker before the ingest is given up."""

WORKER_SETTINGS = {
    "distributed.worker.memory.target": False,  # spilling writes pickles
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,  # a paused worker with nothing to free would wait for ever
    "distributed.worker.http.routes": [],  # dask opens its web servers in any case
}
SCHEDULER_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # who is to blame is found out by trying the suspects again
    "distributed.scheduler.worker-saturation": 1.0,  # few cases wait in the queue of a worker that dies
    "distributed.scheduler.http.routes": [],
}


@dataclass(frozen=True)
class Crew:
    """Worker processes of one thread each, behind one scheduler.

    Attributes:
        client: The connection to the scheduler.
        tend: Called every few seconds while no case is done; replaces workers that are gone, and raises
            ``EnvironmentFault`` when none can come back.
        memory_remedy: What to raise when a case needs more memory than a worker has.
        ground: What each worker must see before it takes a case; ``None`` on this machine.
    """

    client: Client
    tend: Callable[[], None]
    memory_remedy: str
    ground: Ground | None = None


CrewOf = Callable[[int], AbstractContextManager[Crew]]
"""Gathers a crew for so many cases, and sends it home in the end."""


def watch(client: Client, what: str, remedy: str, clock: Callable[[], float] = time.monotonic) -> Callable[[], None]:
    """A ``Crew.tend`` that waits for workers to come back, but not for ever.

    Args:
        client: The connection to the scheduler.
        what: The crew, for the error.
        remedy: What to do when no worker comes back, for the error.
        clock: Seconds.
    """
    alone_since: float | None = None

    def tend() -> None:
        nonlocal alone_since
        if workers_of(client, what):
            alone_since = None
            return
        alone_since = clock() if alone_since is None else alone_since
        if clock() - alone_since > PATIENCE_S:
            raise EnvironmentFault(f"{what}: no worker for {PATIENCE_S:.0f} s; {remedy}, then run again to go on")

    return tend


def workers_of(client: Client, what: str) -> dict[str, int]:
    """Threads of each worker, by its address.

    Raises:
        EnvironmentFault: When the scheduler is gone.
    """
    try:
        return dict(client.nthreads())
    except Exception as error:  # dask has many errors for a connection that is no more
        raise EnvironmentFault(f"{what}: the scheduler is lost ({type(error).__name__}); run again to go on") from None


@contextmanager
def undisturbed() -> Iterator[None]:
    """Undo what dask does to this process: it leaves its workers' malloc settings behind, and chats while closing.

    Those settings return freed memory at once, which costs a training started from here a third of its speed.
    """
    before, logger = dict(os.environ), logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        os.environ.clear()
        os.environ.update(before)
