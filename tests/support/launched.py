"""A launcher with ranks that do one of ``step_jobs``, watched from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from support.processes import REPOSITORY, environment

JOBS = "tests/support/step_jobs.py"
OURS, TORCHRUN = ("-m", "dcam_dist.launch"), ("-m", "torch.distributed.run")


@dataclass(frozen=True)
class Launched:
    """A running launcher.

    Attributes:
        process: The launcher.
        folder: Where the ranks leave their process numbers.
        log: What all say.
    """

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def ranks(self, count: int = 2) -> list[int]:
        """Process number of each rank, once all have met."""
        files = [self.folder / f"{rank}.pid" for rank in range(count)]
        wait_for(lambda: all(file.exists() for file in files) or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.log.read_text()
        return [int(file.read_text()) for file in files]

    def end(self, seconds: float = 60) -> int:
        """The launcher's exit code."""
        return self.process.wait(seconds)

    @property
    def lines(self) -> list[str]:
        """What was said, without torchrun's own words."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(("dcam-dist:", "rank "))]

    @property
    def everything(self) -> str:
        return self.log.read_text()


@contextmanager
def launched(
    folder: Path,
    *job: object,
    ranks: int = 2,
    launcher: Sequence[str] = OURS,
    command: Sequence[object] = (),
    **variables: str,
) -> Iterator[Launched]:
    """Start a launcher with ranks that do a job whose first argument is the folder; kill what is left in the end."""
    log = folder / "log.txt"
    words = command or [sys.executable, *launcher, f"--nproc_per_node={ranks}", JOBS, *job[:1], folder, *job[1:]]
    # torch is imported by the job before the command line can quieten it
    env = {**environment(), "TORCH_CPP_LOG_LEVEL": "FATAL", "TMPDIR": str(folder), **variables}
    with (
        log.open("wb") as out,
        subprocess.Popen(list(map(str, words)), cwd=REPOSITORY, env=env, stdout=out, stderr=out) as process,
    ):
        one = Launched(process, folder, log)
        try:
            yield one
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            for pid in [process.pid, *(child.pid for child in family), *_noted(folder)]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _noted(folder: Path) -> list[int]:
    pids = [int(file.read_text()) for file in folder.glob("*.pid")]
    return [pid for pid in pids if not gone(pid) and "step_jobs" in " ".join(psutil.Process(pid).cmdline())]


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """How many seconds it took until the condition held."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - start


def gone(pid: int) -> bool:
    """Whether the process has ended; it may still wait for its parent to notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(pids: Sequence[int]) -> bool:
    return all(map(gone, pids))
