"""Who follows a training while it runs: told by the cycle, on each rank, without a word between the ranks."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, SupportsFloat

from dcam_dist.config import Config
from dcam_dist.runs.rank_logs import RANK_LOGGER
from dcam_dist.types import Position

log = logging.getLogger(RANK_LOGGER)


class Progress(Protocol):
    """Told how far a training is. Every call takes microseconds and talks to no other rank.

    A phase lasts until the next one is told, or until ``close``: what an epoch does besides (metrics, checkpoints)
    counts as part of the phase before it.
    """

    def opened(self, config: Config) -> None:
        """This start has the run's directory, with this configuration, and holds its lock until after ``close``."""

    def phase(self, position: Position, total: int, done: int = 0) -> None:
        """A phase begins.

        Args:
            position: Which; ``Phase.DONE`` when there is nothing more to do.
            total: The volumes of all ranks in it, 0 where it has none.
            done: So many of them were done before this start.
        """

    def advance(self, volumes: int, *, loss: SupportsFloat | None = None) -> None:
        """So many more volumes, of all ranks, are done.

        Args:
            volumes: How many.
            loss: A recent mean loss. A tensor on a device is read once in a while only, so that nothing waits for it.
        """

    def epoch(self, values: Mapping[str, Any]) -> None:
        """An epoch has ended with these metrics (``epoch_metrics``). Told on rank 0 alone."""

    def close(self, error: BaseException | None = None) -> None:
        """Nothing will follow. May be called twice.

        Args:
            error: Why, unless the run is done.
        """


class NoProgress:
    """Keeps silent: for ranks other than 0, and for those who call ``train`` as a function."""

    def opened(self, config: Config) -> None:
        """See ``Progress``."""

    def phase(self, position: Position, total: int, done: int = 0) -> None:
        """See ``Progress``."""

    def advance(self, volumes: int, *, loss: SupportsFloat | None = None) -> None:
        """See ``Progress``."""

    def epoch(self, values: Mapping[str, Any]) -> None:
        """See ``Progress``."""

    def close(self, error: BaseException | None = None) -> None:
        """See ``Progress``."""


NO_PROGRESS: Progress = NoProgress()


class PhaseLog:
    """Logs each phase with its seconds to this rank's log, where there is one, and tells another."""

    def __init__(self, told: Progress = NO_PROGRESS, clock: Callable[[], float] = time.monotonic) -> None:
        self._told, self._clock = told, clock
        self._position: Position | None = None
        self._since = 0.0

    def opened(self, config: Config) -> None:
        """See ``Progress``."""
        self._told.opened(config)

    def phase(self, position: Position, total: int, done: int = 0) -> None:
        """See ``Progress``."""
        self._end()
        self._position, self._since = position, self._clock()
        volumes = f", {total - done} volumes" if total else ""
        log.info("%s: begins%s", position, volumes)
        self._told.phase(position, total, done)

    def advance(self, volumes: int, *, loss: SupportsFloat | None = None) -> None:
        """See ``Progress``."""
        self._told.advance(volumes, loss=loss)

    def epoch(self, values: Mapping[str, Any]) -> None:
        """See ``Progress``."""
        self._told.epoch(values)

    def close(self, error: BaseException | None = None) -> None:
        """See ``Progress``."""
        self._end()
        self._told.close(error)

    def _end(self) -> None:
        if self._position is not None:
            log.info("%s: left after %.1f s", self._position, self._clock() - self._since)
        self._position = None


@contextmanager
def followed(config: Config, progress: Progress) -> Iterator[Progress]:
    """Tell another, and this rank's log, of a start from the opening of its run to its end, and why it ends."""
    told = PhaseLog(progress)
    told.opened(config)
    try:
        yield told
    except BaseException as error:
        told.close(error)
        raise
    told.close()
