"""One writer at a time for a cohort, or several parts of one ingest."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from dcam_dist.cohort.lock import one_holder_of_many, only_holder

PATIENCE_S = 600.0
"""So long a beginning of another part may last: it is over before the first case."""

Begun = TypeVar("Begun")


@contextmanager
def only_writer(cohort: Path) -> Iterator[None]:
    """Hold the cohort's lock, a file beside it; it is free again when its process ends, however that ends.

    Raises:
        EnvironmentFault: When another process holds it; says which.
    """
    lock = only_holder(
        _beside(cohort, "lock"),
        held=lambda who: _held(cohort, who),
        unlockable=lambda why: f"{cohort}: cannot be locked ({why}); do not ingest into it twice at once",
    )
    with ExitStack() as writing:
        with _door(cohort):
            writing.enter_context(lock)
        yield


@contextmanager
def one_writer_of_many(cohort: Path, begin: Callable[[bool], Begun]) -> Iterator[Begun]:
    """Hold the cohort's lock together with other parts of the ingest; ``only_writer`` is refused meanwhile.

    Args:
        cohort: The store.
        begin: Called first, while no other part begins or ends, with whether no other part is writing.

    Yields:
        What ``begin`` returned.

    Raises:
        EnvironmentFault: When an ingest that is no part holds the lock, or the file system knows no locks.
    """
    lock = one_holder_of_many(
        _beside(cohort, "lock"),
        held=lambda who: _held(cohort, who),
        unlockable=lambda why: f"{cohort}: cannot be locked ({why}), and parts need that; ingest it in one call",
    )
    with _door(cohort), ExitStack() as entering:
        begun = begin(entering.enter_context(lock))
        writing = entering.pop_all()
    with writing:
        try:
            yield begun
        finally:
            with _door(cohort):
                writing.close()


def _door(cohort: Path) -> AbstractContextManager[None]:
    """Whoever comes to write or leaves is alone in it for a moment."""
    return only_holder(
        _beside(cohort, "door"),
        held=lambda who: f"{cohort}: another ingest has been beginning{who} for {PATIENCE_S:.0f} s; end it first",
        unlockable=None,  # the lock itself says so
        patience_s=PATIENCE_S,
    )


def _held(cohort: Path, who: str) -> str:
    return f"{cohort}: another ingest is writing it{who}; wait for it, or choose another --out"


def _beside(cohort: Path, kind: str) -> Path:
    return cohort.absolute().with_name(f".{cohort.name}.{kind}")
