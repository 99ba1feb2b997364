"""Real processes for the tests: torchrun on this machine, and the command line."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def torchrun(processes: int, arguments: list[str], *, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
    return run([*launcher, *arguments], timeout=timeout)


def python(arguments: list[str], *, timeout: float = 240, **variables: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, *arguments], timeout=timeout, **variables)


def dcam_dist(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "dcam_dist", *map(str, arguments)], timeout=timeout)


def run(command: list[str], *, timeout: float, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def environment() -> dict[str, str]:
    """One thread a process; ``support`` and the package of this very tree importable."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
