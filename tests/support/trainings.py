"""Trainings as real processes that start at once: forked from a server that has imported everything already.

A start from nothing costs seconds, nearly all of them imports; the processes here are as real (their own signals, exit
codes, files and process groups), so that a test can afford many.
"""

import gc
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from support.processes import REPOSITORY

# the last three are imported by a training when it begins
PRELOADED = (
    "support.faulty_train",
    "dcam_dist.training",
    "dcam_dist.commands",
    "dcam_dist.clustering.sklearn_backend",
    "torch._dynamo",
    "distributed",  # by dask, when the first volume is read
)
LONGEST_S = 120.0


class Training:
    """``train`` on some ranks.

    Attributes:
        ranks: The processes, by rank.
    """

    def __init__(self, ranks: Sequence[multiprocessing.process.BaseProcess], log: Path) -> None:
        self.ranks, self._log = ranks, log

    def wait(self, timeout: float = LONGEST_S) -> list[int]:
        """The exit codes by rank, negative where a signal ended one; all are killed that take longer."""
        deadline = time.monotonic() + timeout
        for rank in self.ranks:
            rank.join(max(0.0, deadline - time.monotonic()))
        late = [index for index, rank in enumerate(self.ranks) if rank.is_alive()]
        self.kill()
        assert not late, f"ranks {late} had not ended after {timeout} s:\n{self.said}"
        return [int(rank.exitcode or 0) for rank in self.ranks]

    def signal(self, number: signal.Signals, *ranks: int) -> None:
        """Send a signal to the given ranks, or to all."""
        for rank in ranks or range(len(self.ranks)):
            with suppress(ProcessLookupError):
                os.kill(self.ranks[rank].pid or 0, number)

    def kill(self) -> None:
        """SIGKILL whatever still runs, also the children of the ranks."""
        for member in self.family():
            with suppress(psutil.NoSuchProcess):
                member.kill()
        for rank in self.ranks:
            rank.join()

    def processes(self) -> dict[int, psutil.Process]:
        """The ranks that are alive."""
        found = {}
        for index, rank in enumerate(self.ranks):
            with suppress(psutil.NoSuchProcess):
                if rank.is_alive():
                    found[index] = psutil.Process(rank.pid)
        return found

    def family(self) -> list[psutil.Process]:
        """The ranks that are alive and their children."""
        members = list(self.processes().values())
        for rank in tuple(members):
            with suppress(psutil.NoSuchProcess):
                members += rank.children(recursive=True)
        return members

    @property
    def said(self) -> str:
        """What all ranks wrote to the console so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def start_training(
    arguments: Sequence[str], log: Path, *, ranks: int = 1, faults: Sequence[str] = (), **variables: str
) -> Training:
    """Start ``train`` with the given settings.

    Args:
        arguments: Settings, as on the command line.
        log: A file for what the ranks say.
        ranks: How many; more than one are told of each other as torchrun does.
        faults: As ``faulty_train`` takes them.
        variables: Environment of the ranks.
    """
    return _fork_ranks(run_forked, (["train", *arguments], list(faults)), log, ranks, variables)


def run_ranks(ranks: int, script: str, *arguments: object, log: Path) -> None:
    """Run a file of Python's on so many ranks, started as ``start_training`` does.

    Raises:
        AssertionError: When one of them fails.
    """
    started = _fork_ranks(run_script, (script, [str(one) for one in arguments]), log, ranks, {})
    codes = started.wait(2 * LONGEST_S)
    assert codes == [0] * ranks, f"{codes}:\n{started.said}"


def _fork_ranks(
    target: Callable[..., None], given: tuple[object, ...], log: Path, ranks: int, variables: Mapping[str, str]
) -> Training:
    log.write_bytes(b"")
    scratch = tempfile.mkdtemp(prefix="ranks-", dir=log.parent)  # where the ranks of this very start meet
    common = {"TMPDIR": scratch, **variables}
    if ranks > 1:
        common |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    started = []
    for rank in range(ranks):
        own = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else common
        process = _server().Process(target=target, args=(*given, own, str(log)))
        process.start()
        started.append(process)
    return Training(started, log)


def run_forked(arguments: list[str], faults: list[str], variables: dict[str, str], log: str) -> None:
    """In the forked process: the command line, as ``faulty_train`` starts it."""
    from support.faulty_train import main

    _settle(variables, log)
    sys.exit(main(faults, arguments))


def run_script(script: str, arguments: list[str], variables: dict[str, str], log: str) -> None:
    """In the forked process: the file, as ``python FILE`` runs it."""
    _settle(variables, log)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def _settle(variables: Mapping[str, str], log: str) -> None:
    gc.freeze()  # what was imported before the fork is no garbage; to look at it again takes a training half a second
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.chdir(REPOSITORY)
    os.environ.update(variables)
    tempfile.tempdir = None


def _server() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))  # which it does once, with the first process
    return context
