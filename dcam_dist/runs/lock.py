"""One training at a time in a run's directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcam_dist.cohort.lock import only_holder
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.runs.checkpoints import clear_unfinished

LOCK = "lock"


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold ``RUN/lock``, by rank 0, from before the directory is opened to the end; makes the directory where needed.

    The file says host, process and Slurm job. A process that dies frees it. What an interrupted save or removal left
    is deleted.

    Raises:
        UsageError: When there is a file in the directory's place.
        EnvironmentFault: When another process holds it (says which), or the directory cannot be written.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{run}: exists and holds no run; choose another output") from None
    except OSError as error:
        raise EnvironmentFault(f"{run}: cannot be made ({error.strerror}); choose another output") from None
    lock = only_holder(
        run / LOCK,
        held=lambda who: f"{run}: another training is running in it{who}; wait for it, or choose another output",
        unlockable=lambda why: f"{run}: cannot be locked ({why}); do not train in it twice at once",
    )
    with lock:
        clear_unfinished(run)
        yield
