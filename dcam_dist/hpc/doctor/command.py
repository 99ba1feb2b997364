"""Asking another program, for a limited time."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

PATIENCE_S = 5.0
"""Most commands answer at once or never."""
_LAST_S = 1.0
"""For what a killed command leaves in its pipes; one that hangs in the kernel is left behind."""


@dataclass(frozen=True)
class Answer:
    """What a command said.

    Attributes:
        code: Its exit code; ``None`` where it did not end in time.
        out: Standard output.
        err: Standard error.
    """

    code: int | None
    out: str
    err: str

    @property
    def trouble(self) -> str:
        """Why it cannot be believed, in one line; empty where it can."""
        if self.code is None:
            return "does not answer in time"
        if self.code == 0:
            return ""
        said = [" ".join(line.split()) for line in (self.err or self.out).splitlines() if line.strip()]
        return f"exit code {self.code}: {said[-1][:160]}" if said else f"exit code {self.code}"


def is_there(name: str, variables: Mapping[str, str]) -> bool:
    """Whether a command can be found."""
    return shutil.which(name, path=variables.get("PATH")) is not None


def ask(command: Sequence[str], variables: Mapping[str, str], patience_s: float = PATIENCE_S) -> Answer | None:
    """Run a command and hear what it says; kills it and all that it started when the time is over.

    Args:
        command: Name and arguments.
        variables: Its environment, in plain English.
        patience_s: Seconds.

    Returns:
        ``None`` where there is no such command, or it cannot be started.
    """
    program = shutil.which(command[0], path=variables.get("PATH"))
    if program is None:
        return None
    try:
        started = subprocess.Popen(
            [program, *command[1:]],
            env={**variables, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        out, err = started.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        out, err = _end(started)
        return Answer(None, out, err)
    return Answer(started.returncode, out, err)


def _end(started: "subprocess.Popen[str]") -> tuple[str, str]:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(started.pid, signal.SIGKILL)
    try:
        return started.communicate(timeout=_LAST_S)
    except subprocess.TimeoutExpired:
        return "", ""
