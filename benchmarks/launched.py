"""A training that was started from nothing: by the command line, by torchrun or by the package's own launcher."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

REPOSITORY = Path(__file__).parents[1]
LONGEST_S = 300.0
Launcher = Literal["", "torchrun", "launch"]


class Launched:
    """A training that was started from nothing, by the command line or by torchrun."""

    def __init__(self, command: Sequence[str], log: Path, **variables: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
        environment |= variables
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        """See ``Started``."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def family(self) -> list[psutil.Process]:
        """See ``Started``."""
        if self._process.poll() is not None:
            return []
        first = psutil.Process(self._process.pid)
        with suppress(psutil.NoSuchProcess):
            return [first, *first.children(recursive=True)]
        return []

    def processes(self) -> dict[int, psutil.Process]:
        """See ``Started``."""
        ranks = {}
        for member in self.family():
            with suppress(psutil.Error):
                ranks[int(member.environ().get("RANK", -1))] = member
        return ranks

    def wait(self, timeout: float = LONGEST_S) -> list[int]:
        """See ``Started``."""
        return [self._process.wait(timeout)]

    def signal_launcher(self, number: signal.Signals) -> None:
        """Send a signal to what was started, and to nothing else."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL whatever still runs."""
        for member in self.family():
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.wait()


def run_ranks(program: Sequence[str], ranks: int) -> None:
    """Run a module with its arguments on so many ranks of one thread each, and wait for them.

    Args:
        program: The module's name, then its arguments.
        ranks: Processes, from torchrun; one alone is started plainly.

    Raises:
        RuntimeError: When they fail, with the end of what they said.
    """
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *launcher, "-m", *program]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"the ranks ended with {ended.returncode}:\n{ended.stderr[-3000:]}")


def train_command(
    arguments: Sequence[str], *, ranks: int = 1, launcher: Launcher = "", faults: Sequence[str] = ()
) -> list[str]:
    """The command that trains: the plain one, or with the faults of ``tests/support/faulty_train.py``.

    Args:
        arguments: Of ``train``.
        ranks: Processes.
        launcher: What starts them; ``""``: torchrun for more than one.
        faults: What is put in.
    """
    python = [sys.executable, "-m"]
    if launcher == "launch":
        python += ["dcam_dist.launch", f"--nproc_per_node={ranks}", "-m"]
    elif launcher == "torchrun" or ranks > 1:
        python += ["torch.distributed.run", f"--nproc_per_node={ranks}", "-m"]
    program = ["support.faulty_train", *faults, "--"] if faults else ["dcam_dist"]
    return [*python, *program, "train", *arguments]
