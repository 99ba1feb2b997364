"""Contenders of ``benchmarks.clustering`` as fresh processes, and what they answer."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.clustering_contender import Case

REPOSITORY = Path(__file__).parents[1]
LEAVE_S = 60


@dataclass(frozen=True)
class Call:
    """One call of one contender.

    Attributes:
        wall_s: Of the rank that took longest.
        cpu_s: Processor seconds of all ranks.
        peak_bytes: The most resident memory of this call and those before, above what there was, rows included, before
            the first; of all ranks.
        updates: Of the centroids.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: float
    updates: int


class Session:
    """The processes of one contender. They get ready by themselves; the first call waits for that."""

    def __init__(self, processes: list[subprocess.Popen[str]], log: IO[str]) -> None:
        self._processes, self._log, self._ready = processes, log, False

    def call(self, iterations: int) -> Call:
        """Cluster once."""
        told = self._ask({"iterations": iterations})
        return Call(
            wall_s=max(one["wall_s"] for one in told),
            cpu_s=sum(one["cpu_s"] for one in told),
            peak_bytes=sum(one["peak_bytes"] for one in told),
            updates=told[0]["updates"],
        )

    def inertia(self) -> float:
        """Of the last call, over the rows of all ranks."""
        return float(sum(one["inertia"] for one in self._ask({})))

    def _ask(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        if not self._ready:
            self._answers()
            self._ready = True
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        return self._answers()

    def _answers(self) -> list[dict[str, Any]]:
        lines = []
        for process in self._processes:
            assert process.stdout is not None
            lines.append(process.stdout.readline())
        if not all(lines):
            self._log.seek(0)
            raise RuntimeError(f"a contender has ended:\n{self._log.read()[-3000:]}")
        return [json.loads(line) for line in lines]


@contextmanager
def session(case: Case) -> Iterator[Session]:
    """A contender: its processes start now and leave at the end."""
    with tempfile.TemporaryFile("w+") as log, tempfile.TemporaryDirectory(prefix="dcam-bench-") as folder:
        processes = [_start(case, rank, folder, log) for rank in range(case.ranks)]
        try:
            yield Session(processes, log)
            for process in processes:
                process.communicate(timeout=LEAVE_S)  # nothing more to read: it leaves by itself
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(case: Case, rank: int, folder: str, log: IO[str]) -> subprocess.Popen[str]:
    """One rank; the ranks meet in the folder, which no other contender shares."""
    variables = {"OMP_NUM_THREADS": str(case.threads), "PYTHONPATH": str(REPOSITORY), "TMPDIR": folder}
    if case.ranks > 1:
        variables |= {name: str(case.ranks) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
        variables |= {name: str(rank) for name in ("RANK", "LOCAL_RANK")}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.clustering_contender", json.dumps(asdict(case))],
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
