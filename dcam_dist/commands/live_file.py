"""``RUN/progress.json`` while a training runs, written by rank 0 from the thread that also keeps the console."""

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from dcam_dist.commands.standing import Standing
from dcam_dist.errors import DcamError
from dcam_dist.launchers import read_launch
from dcam_dist.runs.live import DONE, Live, write_live

EVERY_S = 15.0
INTERRUPTED = 130


class LiveFile:
    """Writes where a training stands: after each phase began, every 15 s, and why it left.

    The training itself never waits for the file until it leaves, and a disk that refuses costs the file alone.

    Args:
        standing: Kept by the training's thread.
    """

    def __init__(self, standing: Standing) -> None:
        self._standing, self._lock = standing, threading.Lock()
        self._run: Path | None = None
        self._began_s = self._due_s = 0.0

    def open(self, run: Path) -> None:
        """This process alone writes into the run from here on, until ``close``."""
        self._run, self._began_s = run, self._standing.clock()

    def begin(self) -> None:
        """A phase begins: the next tick writes."""
        self._due_s = 0.0

    def tick(self) -> None:
        """Write, when it is time to."""
        with self._lock:
            if self._run is not None and self._standing.clock() >= self._due_s:
                self._due_s = self._standing.clock() + EVERY_S
                self._write(self._run, None, None)

    def close(self, error: BaseException | None = None) -> None:
        """Write why the training leaves, and nothing after that; the run may soon be another process's."""
        with self._lock:
            if self._run is not None:
                self._write(self._run, *_reason(error))
            self._run = None

    def _write(self, run: Path, ended: str | None, exit_code: int | None) -> None:
        now, clock_s = self._standing, self._standing.clock()
        time_s = time.time()
        position = now.position
        live = Live(
            time_s=time_s,
            started_s=time_s - (clock_s - self._began_s),
            moved_s=time_s - (clock_s - max(now.moved_s, self._began_s)),
            phase=None if position is None else position.phase.name.lower(),
            epoch=None if position is None else position.epoch,
            done=now.done,
            total=now.total,
            volumes_per_second=now.volumes_per_second(),
            loss=now.loss,
            nmi=now.nmi,
            left_s=now.left_s(),
            ranks=read_launch().world_size,
            host=socket.gethostname(),
            pid=os.getpid(),
            job=os.environ.get("SLURM_JOB_ID"),
            ended=ended,
            exit_code=exit_code,
        )
        with suppress(OSError):
            write_live(run, live)


def _reason(error: BaseException | None) -> tuple[str, int]:
    """Why it leaves, and with which exit code; of an error that is not the package's own only the kind."""
    if error is None:
        return DONE, 0
    if isinstance(error, DcamError):
        return str(error), error.exit_code
    return type(error).__name__, INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
