"""Real processes for the tests: torchrun on this machine, and the command line."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

REPOSITORY = Path(__file__).parents[2]


def torchrun(processes: int, arguments: list[str], *, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return run([*launcher(processes), *arguments], timeout=timeout)


def kill_torchrun_when(seen: Callable[[], bool], processes: int, arguments: list[str], *, timeout: float = 240) -> None:
    """Start as ``torchrun`` does; as soon as ``seen`` is true, end the launcher and all ranks by SIGKILL."""
    deadline = time.monotonic() + timeout
    with subprocess.Popen(
        [*launcher(processes), *arguments],
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as started:
        # the ranks are sessions of their own: a signal to the launcher's group would not reach them
        family = psutil.Process(started.pid)
        try:
            while not seen():
                assert started.poll() is None, "ended before it could be killed"
                assert time.monotonic() < deadline, "nothing seen in time"
                time.sleep(0.01)
        finally:
            members = [family, *family.children(recursive=True)] if started.poll() is None else []
            for member in members:
                member.kill()
            psutil.wait_procs(members)


def launcher(processes: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}"]


def python(arguments: list[str], *, timeout: float = 240, **variables: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, *arguments], timeout=timeout, **variables)


def start_python(arguments: list[str], output: IO[bytes] | None = None, **variables: str) -> subprocess.Popen[bytes]:
    command, env = [sys.executable, *arguments], {**environment(), **variables}
    return subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=output, stderr=output)


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
