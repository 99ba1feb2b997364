"""Plays a row of ``tests/faults/training_faults.py``: its starts one after the other in one directory."""

import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from faults.rank_faults import HANG_S
from faults.training_faults import LOSS_TOLERANCE, SMALL
from support.cohorts import settings
from support.disturbances import BEFORE, MEANWHILE, unmount
from support.fault_rows import Row, Start
from support.trainings import Training, start_training

from benchmarks.kill_chain import differences
from benchmarks.launched import Launched, train_command
from dcam_dist.runs import latest_checkpoint
from dcam_dist.runs.metrics_lines import read_metrics
from dcam_dist.types import Position

STRUCK = ("kill@", "stop@")
OURS = re.compile(r'File ".*dcam_dist/\w+')
"""In a traceback; torchrun has one of its own when it is asked to end."""
TORCHRUN_ABORTS = "terminate called without an active exception"
"""What torchrun says where it ends in an abort instead of with 1, a thread of its own still running (torch 2.13)."""
GRACE_S = 5.0
LONGEST_S = 90.0


@dataclass(frozen=True)
class Played:
    """How one start went.

    Attributes:
        exit: Its exit code.
        line: The line that was asked for.
        seconds: From its start, or from the fault where that was timed, to its end.
    """

    exit: int
    line: str
    seconds: float


class Stage:
    """A cohort, and the runs on it that nothing happens to, made when they are asked for."""

    def __init__(self, cohort: Path, folder: Path) -> None:
        self.cohort, self._folder = cohort, folder
        self._made: dict[tuple[int, tuple[str, ...]], Path] = {}

    def undisturbed(self, ranks: int, faults: Sequence[str] = ()) -> Path:
        """A finished run on so many ranks."""
        key = ranks, tuple(faults)
        if key not in self._made:
            run = self._folder / str(len(self._made))
            training = start_training(arguments(self.cohort, run), run.with_suffix(".log"), ranks=ranks, faults=faults)
            _insist(training.wait() == [0] * ranks, training.said)
            self._made[key] = run
        return self._made[key]


def arguments(cohort: Path, run: Path, start: Start | None = None) -> list[str]:
    """Of ``train``, for one start."""
    given = {**SMALL, **(start.settings if start else {}), "output": run}
    return [*settings(cohort, **given), *(start.options if start else ())]


def play(row: Row, stage: Stage, folder: Path, *, without: str = "") -> list[Played]:
    """Play a row.

    Args:
        row: What happens.
        stage: Where.
        folder: An empty one.
        without: A guard that is taken out of every start.

    Raises:
        AssertionError: When something else happens than the row says.
    """
    run = folder / "run"
    faults = (f"without:{without}",) if without else ()
    try:
        played = [_play(start, index, stage.cohort, run, folder, faults) for index, start in enumerate(row.starts)]
        if row.same == "bits":
            differing = differences(run, stage.undisturbed(row.starts[-1].ranks, row.always))
            _insist(not differing, f"the end differs: {', '.join(differing[:3])} …")
        elif row.same == "close":
            insist_close(run, stage.undisturbed(1))
        return played
    finally:
        unmount(run)


def _play(start: Start, index: int, cohort: Path, run: Path, folder: Path, faults: Sequence[str]) -> Played:
    if start.before:
        BEFORE[start.before](run)
    before = _newest(run)
    begin = partial(_begin, start, arguments(cohort, run, start), (*start.faults, *faults))
    training, began = begin(folder / f"{index}.log"), time.monotonic()
    try:
        if start.meanwhile:
            MEANWHILE[start.meanwhile](training, run, lambda: begin(folder / f"{index}-second.log"))
        codes = training.wait(LONGEST_S)
    finally:
        training.kill()
    seconds = time.monotonic() - began
    struck = any(fault.startswith(STRUCK) for fault in start.faults)
    ended = {code for code in codes if code >= 0 or not struck} or set(codes)
    said = training.said
    if start.launcher == "torchrun" and ended == {-signal.SIGABRT} and TORCHRUN_ABORTS in said:
        ended = {1}
    _insist(ended == {start.exits}, f"exit codes {codes} instead of {start.exits}:\n{said}")
    _insist(not OURS.search(said), f"a traceback:\n{said}")
    after = _newest(run)
    _insist(before is None or (after is not None and after >= before), f"lost the checkpoint at {before}")
    took_s = getattr(training, "took_s", None)
    _insist(took_s is None or took_s < HANG_S + GRACE_S, f"ended {took_s} s after the hang")
    return Played(start.exits, _line(start, said), round(seconds if took_s is None else took_s, 1))


def _begin(start: Start, given: Sequence[str], faults: Sequence[str], log: Path) -> Training | Launched:
    variables = {name: _moment(value) for name, value in start.variables.items()}
    if not start.launcher:
        return start_training(given, log, ranks=start.ranks, faults=faults, **variables)
    command = train_command(given, ranks=start.ranks, launcher=start.launcher, faults=faults)
    return Launched(command, log, **variables)


def _moment(value: str) -> str:
    return str(int(time.time()) + int(value)) if value.startswith("+") else value


def _line(start: Start, said: str) -> str:
    """The line that was asked for; a user sees it once for each rank at most."""
    if not start.line:
        return ""
    found = [line for line in said.splitlines() if re.search(start.line, line)]
    _insist(1 <= len(found) <= start.ranks, f"{len(found)} lines match {start.line}:\n{said}")
    return found[0]


def _newest(run: Path) -> Position | None:
    checkpoint = latest_checkpoint(run) if (run / "checkpoints").is_dir() else None
    return None if checkpoint is None else checkpoint.position


def insist_close(run: Path, other: Path, tolerance: float = LOSS_TOLERANCE) -> None:
    """Two finished runs took the same steps and ended with the same clusters and nearly the same losses.

    Raises:
        AssertionError: When they did not.
    """
    one, two = (latest_checkpoint(path) for path in (run, other))
    _insist(one is not None and two is not None and one.finished and two.finished, "not finished")
    same = one.assignment.by_case() == two.assignment.by_case()
    _insist(same, "the cases are in other clusters")
    lines, others = (read_metrics(path) for path in (run, other))
    _insist([line["steps"] for line in lines] == [line["steps"] for line in others], "other numbers of steps")
    apart = max(abs(line["loss"] - also["loss"]) for line, also in zip(lines, others, strict=True))
    _insist(apart <= tolerance, f"the losses differ by {apart}")


def _insist(true: bool, message: str) -> None:
    """``assert`` that also speaks in a module whose asserts pytest does not rewrite."""
    if not true:
        raise AssertionError(message)
