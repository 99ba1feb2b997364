"""One training that is killed again and again, each start going on from where the last one was killed."""

import json
import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil

from dcam_dist.errors import DataError
from dcam_dist.runs import Checkpoint, latest_checkpoint, read_checkpoint
from dcam_dist.runs.metrics_lines import read_metrics
from dcam_dist.types import Phase

WORK = re.compile(r"on \d+ training cases.*\n")
"""What a training says as soon as it has read its checkpoint."""
GOES_ON = re.compile(r"going on at (.+)\n|already (finished)")
BUG = "this is a bug"
BEGINNING = "the beginning"
OF_TIME = re.compile(r"second|stall|memory|time")
"""Names of metrics that no two runs share."""
ORPHANS_S = 30.0
DEADLINE_S = 300.0
LOOK_EVERY_S = 0.1


class Started(Protocol):
    """A training that was started."""

    @property
    def said(self) -> str:
        """What it wrote to the console so far."""

    def processes(self) -> dict[int, psutil.Process]:
        """Its ranks that are alive."""

    def family(self) -> list[psutil.Process]:
        """All its processes that are alive, a launcher included."""

    def wait(self, timeout: float = DEADLINE_S) -> Sequence[int]:
        """The exit codes of what was started here."""


Start = Callable[[Sequence[str]], Started]
"""Start the training with the given faults."""


@dataclass(frozen=True)
class Blow:
    """How one start is to end: at a moment, or at a place.

    Attributes:
        after_s: Seconds from the first sign of work; ``None`` where a fault strikes.
        fault: A kill at a place, as ``tests/support/faulty_train.py`` takes it.
        victim: The rank that is struck from outside; ``None``: the launcher and all ranks at once.
    """

    after_s: float | None = None
    fault: str = ""
    victim: int | None = None


@dataclass(frozen=True)
class Kill:
    """What one kill met and what came of it.

    Attributes:
        ranks: Of the training.
        fault: The place that was waited for, empty where the moment was random.
        after_s: Seconds of work in this start before the kill.
        alone: Whether one rank was killed, and its peers had to end by themselves.
        position: Of the newest checkpoint after it: the work in hand.
        phase: That position's phase.
        in_save: Whether a checkpoint was half written.
        unreadable: Checkpoints in place that do not verify.
        gone_s: Seconds from the kill until the last process was gone; at a place: from the launcher's end.
        recovery_s: Seconds from the next command until its work went on.
        goes_on: Whether the next start went on from exactly that checkpoint.
    """

    ranks: int
    fault: str
    after_s: float
    alone: bool
    position: str
    phase: str
    in_save: bool
    unreadable: int
    gone_s: float
    recovery_s: float = 0.0
    goes_on: bool = False


@dataclass(frozen=True)
class _Struck:
    """How one start went.

    Attributes:
        begun_s: Seconds to the sign of work.
        after_s: Seconds from there to the blow, or to the end.
        gone_s: Seconds from there to the end of the last process.
        done: Whether it came to its own end.
        said: What it said.
    """

    begun_s: float
    after_s: float
    gone_s: float
    done: bool
    said: str


def kill_again_and_again(start: Start, run: Path, ranks: int, blows: Sequence[Blow]) -> list[Kill]:
    """Strike one start after the other, then let the last one finish.

    Args:
        start: Starts the training.
        run: Its directory.
        ranks: How many it has.
        blows: One a start. Those left over when the run is done are dropped.

    Raises:
        RuntimeError: When a start fails by itself, or a process outlives its training.
    """
    kills: list[Kill] = []
    waiting: Kill | None = None
    for blow in [*blows, None]:
        struck = _strike(start([blow.fault] if blow and blow.fault else []), blow)
        if waiting is not None:
            goes_on = _began_at(struck.said) == waiting.position
            kills.append(replace(waiting, recovery_s=round(struck.begun_s, 3), goes_on=goes_on))
        if blow is None or struck.done:
            return kills
        waiting = _killed(ranks, blow, struck, run)
    raise AssertionError("the last start has no blow")


def leave_alone(start: Start) -> float:
    """Run a training to its end; the seconds of its work.

    Raises:
        RuntimeError: When it fails.
    """
    return _strike(start([]), None).after_s


def _began_at(said: str) -> str:
    going_on = GOES_ON.search(said)
    return (going_on[1] or going_on[2]) if going_on else BEGINNING


def _killed(ranks: int, blow: Blow, struck: _Struck, run: Path) -> Kill:
    """What the checkpoints of a killed run are like."""
    folder = run / "checkpoints"
    named = [path for path in folder.glob("*") if not path.name.startswith(".")]
    newest = latest_checkpoint(run)
    position = "finished" if newest and newest.finished else str(newest.position) if newest else BEGINNING
    return Kill(
        ranks=ranks,
        fault=blow.fault,
        after_s=round(struck.after_s, 3),
        alone=blow.victim is not None or "/" in blow.fault,
        position=position,
        phase=(newest.position.phase if newest else Phase.EXTRACT).name.lower(),
        in_save=any(folder.glob(".*")),
        unreadable=sum(not _readable(path) for path in named),
        gone_s=round(struck.gone_s, 3),
    )


def differences(run: Path, other: Path) -> list[str]:
    """What two finished runs do not share to the last bit, times apart: weights, optimizer, clusters, metrics."""
    one, two = _ended(run), _ended(other)
    found = [name for name in sorted(one.keys() | two.keys()) if not _same(one.get(name), two.get(name))]
    return found + ["metrics.jsonl"] * (_metrics(run) != _metrics(other))


def _ended(run: Path) -> dict[str, Any]:
    checkpoint = latest_checkpoint(run)
    assert checkpoint is not None and checkpoint.finished, f"{run} has not finished"
    return values_of(checkpoint)


def values_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """All values of a checkpoint by name."""
    named: dict[str, Any] = {name: tensor.numpy() for name, tensor in checkpoint.engine.items()}
    for part in ("assignment", "clustering", "previous"):
        value = getattr(checkpoint, part)
        named |= {f"{part}.{name}": getattr(value, name) for name in getattr(value, "__dataclass_fields__", ())}
    named |= {f"generators.{name}": state for name, state in checkpoint.generators.items()}
    return named | {"position": checkpoint.position, "aside": checkpoint.aside}


def _same(one: object, two: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    return repr(one) == repr(two)  # NaN is itself


def _metrics(run: Path) -> list[str]:
    return [
        json.dumps({name: value for name, value in line.items() if not OF_TIME.search(name)})
        for line in read_metrics(run)
    ]


def _readable(folder: Path) -> bool:
    try:
        read_checkpoint(folder)
    except DataError:
        return False
    return True


def _strike(training: Started, blow: Blow | None) -> _Struck:
    """Wait for the blow's moment, strike, and wait for the end of all processes."""
    began = time.monotonic()
    worked = until(training, lambda: WORK.search(training.said) is not None)
    begun = time.monotonic()
    family, struck = training.family(), None
    if blow is not None and blow.after_s is not None:
        after_s = blow.after_s
        if until(training, lambda: time.monotonic() - begun >= after_s):
            family, struck = training.family(), time.monotonic()
            _kill_now(training, blow.victim)
    codes = training.wait()
    struck = struck or time.monotonic()
    _end_of(family)
    if any(codes) and (blow is None or not worked or BUG in training.said):
        raise RuntimeError(f"the training ended by itself with {codes}:\n{training.said[-2000:]}")
    return _Struck(begun - began, struck - begun, time.monotonic() - struck, not any(codes), training.said)


def _end_of(family: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=ORPHANS_S)
    for orphan in alive:
        orphan.kill()
    if alive:
        raise RuntimeError(f"{len(alive)} processes outlived their training by {ORPHANS_S} s")


def _kill_now(training: Started, victim: int | None) -> None:
    ranks = training.processes()
    members = training.family() if victim is None else [ranks[victim]] if victim in ranks else []
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)


def until(training: Started, seen: Callable[[], bool]) -> bool:
    """Wait until something is seen; ``False`` when the training ends before.

    Raises:
        RuntimeError: When neither happens in time.
    """
    began = looked = time.monotonic()
    while not seen():
        now = time.monotonic()
        if now - looked > LOOK_EVERY_S:  # at all processes of the machine
            looked = now
            if not training.family():
                return seen()
        if now - began > DEADLINE_S:
            raise RuntimeError(f"nothing seen in {DEADLINE_S} s:\n{training.said[-2000:]}")
        time.sleep(0.002)
    return True
