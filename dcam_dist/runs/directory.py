"""Open a run's directory for training: a new one, one to go on in, or one whose run is moved aside."""

import logging
import os
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from dcam_dist.cohort.durable import sync
from dcam_dist.config import Config
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.runs.changes import accept_changes, check_keys
from dcam_dist.runs.jobs import JOBS
from dcam_dist.runs.live import STOP_FILE
from dcam_dist.runs.lock import LOCK
from dcam_dist.runs.places import FOLDER
from dcam_dist.runs.run_config import CONFIG, UNFINISHED, write_run_config

_LOG = logging.getLogger(__name__)
_BEFORE_THE_FIRST_START = {LOCK, UNFINISHED, JOBS, STOP_FILE}
_RESTARTS = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")


def open_run_directory(config: Config, *, fresh: bool = False, changes: Sequence[str] = ()) -> Path:
    """Create ``config.output``, or accept it when it holds a run of the same configuration to go on with.

    Call it on rank 0 alone, while it holds ``run_lock(config.output)``.

    Args:
        config: The resolved configuration.
        fresh: Move a run that is there aside, whole but for ``RUN/jobs``, to ``RUN.old-1`` (the next free number), and
            begin anew. Not where a scheduler or launcher has restarted the same command: that goes on.
        changes: Keys that may differ from the run's configuration; the others may not.

    Raises:
        UsageError: When no output is set, the directory holds something that is no run, or a run of another
            configuration; shows the difference.
        DataError: When settings change and no checkpoint verifies.
        EnvironmentFault: When the directory cannot be written.
    """
    if config.output is None:
        raise UsageError("output: not set; say where the run goes with output=RUN")
    check_keys(changes)
    run = config.output
    try:
        if (run / CONFIG).is_file() and not fresh:
            _check_writable(run)
            accept_changes(run, config, changes)
        elif (run / CONFIG).is_file():
            _begin_anew(run.resolve(), config)
        else:
            _begin(run, config)
    except OSError as error:
        raise EnvironmentFault(f"{run}: cannot be written ({error.strerror}); choose another output") from None
    return run


def _begin(run: Path, config: Config) -> None:
    if run.exists() and (not run.is_dir() or {path.name for path in run.iterdir()} - _BEFORE_THE_FIRST_START):
        raise UsageError(f"{run}: exists and holds no run; choose another output")
    run.mkdir(parents=True, exist_ok=True)
    write_run_config(run, config)
    sync(run.parent)


def _begin_anew(run: Path, config: Config) -> None:
    """The new directory is made beside and renamed into place with the lock in it: there is no moment without one.

    So is ``RUN/jobs``, for the jobs that run at this moment log there.
    """
    aside = next(path for number in count(1) if not (path := run.with_name(f"{run.name}.old-{number}")).exists())
    side = run.with_name(f".{run.name}.new")
    shutil.rmtree(side, ignore_errors=True)
    side.mkdir()
    write_run_config(side, config)
    run.rename(aside)
    for name in (LOCK, JOBS):
        if (aside / name).exists():
            (aside / name).rename(side / name)
    side.rename(run)
    sync(run.parent)
    _LOG.info("%s: the run that was here is now %s", run, aside)


def first_start() -> bool:
    """Whether no scheduler or launcher has started this very command before: then it would begin anew each time."""
    return all(os.environ.get(name, "0") in ("", "0") for name in _RESTARTS)


def _check_writable(run: Path) -> None:
    for folder in (run, run / FOLDER):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise EnvironmentFault(f"{folder}: is read-only; make it writable, or choose another output")
