"""A training in processes of its own, watched from outside: when a line of its log appears, and what it has used."""

import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.launched import Launched

POLL_S = 0.01
LONGEST_S = 3600.0


@dataclass(frozen=True)
class Watched:
    """What was seen.

    Attributes:
        seen_s: When each line was first seen, by one clock.
        peak_bytes: Resident set at its highest (VmHWM) of the largest process, as it was when a line was seen.
    """

    seen_s: tuple[float, ...]
    peak_bytes: int


def watched(command: Sequence[str], log: Path, said: Path, threads: int) -> Watched:
    """Run a command to its end and watch its log, which gets a line now and then.

    Args:
        command: What is run.
        log: Is looked at.
        said: Where its output goes.
        threads: ``OMP_NUM_THREADS`` of each process.

    Raises:
        RuntimeError: When it fails or takes too long.
    """
    seen: list[float] = []
    peak, code = 0, None
    training = Launched(command, said, OMP_NUM_THREADS=str(threads))
    ends = time.perf_counter() + LONGEST_S
    try:
        while code is None and time.perf_counter() < ends:
            with suppress(subprocess.TimeoutExpired):
                code = training.wait(POLL_S)[0]
            new = _lines(log) - len(seen)
            if new > 0:
                seen += [time.perf_counter()] * new
                peak = max(peak, *(_peak_bytes(member) for member in training.family()), 0)
    finally:
        training.kill()
    if code != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {code}:\n{training.said[-3000:]}")
    return Watched(tuple(seen), peak)


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.is_file() else 0


def _peak_bytes(process: psutil.Process) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    return 0
