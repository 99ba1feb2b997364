"""``RUN/logs/rank-0003.log``: what each rank has logged, with the time, for those who ask for it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcam_dist.errors import DcamError, EnvironmentFault, StopRequested

FOLDER = "logs"
PACKAGE = "dcam_dist"
RANK_LOGGER = "dcam_dist.rank"
"""Logs to the rank's file alone, and nowhere while there is none."""

_NOWHERE = logging.CRITICAL + 1
logging.getLogger(RANK_LOGGER).setLevel(_NOWHERE)
logging.getLogger(RANK_LOGGER).propagate = False

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def rank_log(run: Path, rank: int, world_size: int) -> Iterator[Path]:
    """Append all that this package logs in this process, from level INFO on, and the phases, to the file of its rank.

    Other packages are left out: their messages may hold names and paths of patients. Each start opens with a line of
    its own and closes with the reason of its end.

    Raises:
        EnvironmentFault: When the file cannot be opened. A disk that fills up later costs lines, not the run.
    """
    path = run / FOLDER / f"rank-{rank:04d}.log"
    handler = _open(path)
    package, own = logging.getLogger(PACKAGE), logging.getLogger(RANK_LOGGER)
    before = package.level
    if not package.isEnabledFor(logging.INFO):
        package.setLevel(logging.INFO)
    own.setLevel(logging.INFO)
    for logger in (package, own):
        logger.addHandler(handler)
    own.info("---- rank %d of %d starts ----", rank, world_size)
    try:
        yield path
        own.info("ends")
    except StopRequested as asked:
        own.info("ends: %s", asked)
        raise
    except BaseException as error:
        # what an error of another package says may name a file of a patient
        own.error("ends: %s", error if isinstance(error, DcamError) else type(error).__name__)
        raise
    finally:
        for logger in (package, own):
            logger.removeHandler(handler)
        package.setLevel(before)
        own.setLevel(_NOWHERE)
        with suppress(OSError):  # what is left of a line that the full disk did not take
            handler.close()


class _RankFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Leave a line out: the default prints a traceback."""


def _open(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handler = _RankFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise EnvironmentFault(
            f"{path}: cannot be written ({error.strerror}); mend this, or set training.rank_logs=false"
        ) from None
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler
