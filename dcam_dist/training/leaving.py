"""Why a training should leave before its end: a signal, the stop file, the end of its time."""

import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType

from dcam_dist.runs.live import STOP_FILE

log = logging.getLogger(__name__)

TIME_LIMIT = "the time limit"
SLOW_DISK_BYTES_S = 20e6  # written, brought down and read back, on a network file system that others use too
LOOK_EVERY_S = 1.0  # a look at the stop file costs a network file system a request


@dataclass
class Leaving:
    """What asks this process to leave.

    Attributes:
        run: Where the stop file is looked for; ``None``: nowhere, as on all ranks but the first.
        end_s: When the time is over, in seconds since 1970.
        signals: Those that came.
    """

    run: Path | None = None
    end_s: float = float("inf")
    signals: list[str] = field(default_factory=list)
    _stop_file_seen: bool = False
    _looked_s: float = 0.0

    def reason(self, needed_s: float) -> str | None:
        """Why to leave now, or ``None``.

        Args:
            needed_s: Seconds that a save and the work up to the next question may take.
        """
        if self.signals:
            return self.signals[0]
        if self._stop_file():
            return "the stop file"
        if time.time() + needed_s >= self.end_s:
            return TIME_LIMIT
        return None

    def _stop_file(self) -> bool:
        now = time.monotonic()
        if self.run is not None and now - self._looked_s >= LOOK_EVERY_S:
            self._looked_s, self._stop_file_seen = now, (self.run / STOP_FILE).exists()
        return self._stop_file_seen


def expected_save_s(content_bytes: int) -> float:
    """How long a save may take where none has been timed yet."""
    return content_bytes / SLOW_DISK_BYTES_S


def end_of_time(max_minutes: float | None) -> float:
    """When this process must have left, in seconds since 1970: after so long, or with its Slurm job."""
    own = time.time() + 60.0 * max_minutes if max_minutes is not None else float("inf")
    return min(own, _end_of_slurm_job())


def _end_of_slurm_job() -> float:
    """From the job's environment (Slurm 23.02 and later), else from ``squeue``; infinite where neither knows."""
    known = os.environ.get("SLURM_JOB_END_TIME", "")
    if known.isdecimal():
        return float(known)
    job, squeue = os.environ.get("SLURM_JOB_ID"), shutil.which("squeue")
    if job is None or squeue is None:
        return float("inf")
    try:
        told = subprocess.run(
            [squeue, "-h", "-j", job, "-o", "%e"], capture_output=True, text=True, timeout=20, check=True
        )
        return datetime.fromisoformat(told.stdout.strip()).timestamp()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("cannot ask Slurm when job %s ends (%s); set training.max_minutes", job, type(error).__name__)
        return float("inf")


@contextmanager
def hearing_signals(leaving: Leaving) -> Iterator[None]:
    """Take SIGTERM and SIGUSR1, by which schedulers announce an end, as requests to leave at the next boundary."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only there may handlers be set
        return

    def note(number: int, _: FrameType | None) -> None:
        leaving.signals.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
