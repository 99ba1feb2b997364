"""When a collective fails: who does not answer any more?

Each rank has a thread that answers roll calls, also while the rank works. A rank whose collective has failed holds
one, and waits a moment: who does not answer was stopped, has died, or is beyond a cut in the network. Roll calls go
through the store by which the ranks have met, not through a process group, which is of no use after a failure.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from dcam_dist.distributed.control import Control
from dcam_dist.distributed.meeting import Meeting, Peer

PATIENCE_S = 2.0
LOOK_EVERY_S = 0.25
DIED = "died"
_END = "end"
"""The roll call after which the run ends; those of alarms are numbered, for the run may go on."""


@dataclass(frozen=True)
class Answer:
    """What a rank says at a roll call.

    Attributes:
        place: Where it is in the program.
        doing: The exchange in which it waits, or nothing.
        since_s: Seconds since this last changed.
        caller: Whether its own collective has failed, too.
    """

    place: str
    doing: str
    since_s: float
    caller: bool


@dataclass(frozen=True)
class Roll:
    """The result of a roll call.

    Attributes:
        answers: By rank.
        left: Exit codes of the ranks that have left by themselves.
        reachable: Whether the place where the ranks meet could be reached at all.
        first: Whether no rank has spoken about this yet and this one is the lowest that called.
    """

    answers: dict[int, Answer]
    left: dict[int, int]
    reachable: bool
    first: bool


class Watch(threading.Thread):
    """Answers and holds roll calls; the only user of its connection to the store.

    Args:
        meeting: The ranks and where they have met.
        control: The exchanges of this process; its rank and place.
        alarm_s: When this process has not met the others for so long, the thread holds a roll call by itself: a process
            that waits for a GPU cannot notice that the others are gone.
        alarm: Called in this thread with its result.
    """

    def __init__(
        self, meeting: Meeting, control: Control, alarm_s: float = float("inf"), alarm: Callable[[Roll], None] = print
    ) -> None:
        super().__init__(name="roll-call", daemon=True)
        self._meeting, self._control, self._store = meeting, control, meeting.roll
        self._alarm_s, self._alarm = alarm_s, alarm
        self._wake, self._done = threading.Event(), threading.Event()
        self._exit_code: int | None = None
        self._own = self._first_to_fail = True
        self._asked: set[str] = set()
        self._alarms, self._alarmed_s = 0, time.monotonic()
        self._roll = Roll({}, {}, reachable=False, first=False)

    def call(self) -> Roll:
        """Hold the roll call after a failure, from the main thread; takes little more than ``PATIENCE_S``."""
        self._wake.set()
        self._done.wait(PATIENCE_S + 0.5)
        return self._roll

    def leave(self, exit_code: int, *, own: bool = True) -> bool:
        """Tell the others that this rank leaves by itself, and end the thread.

        Args:
            exit_code: With which it ends.
            own: Whether an error is its own, and not that of another rank which will tell it.

        Returns:
            Whether no rank has left with an error of its own before.
        """
        self._own, self._exit_code = own, exit_code
        self._wake.set()
        self.join(1.0)
        return self._first_to_fail

    def run(self) -> None:
        """The thread."""
        try:
            while self._exit_code is None:
                self._serve()
            self._store.set(f"left/{self._control.rank}", str(self._exit_code))
            fails = bool(self._exit_code) and self._own
            self._first_to_fail = not fails or self._store.add("failed", 1) == 1
        except RuntimeError:  # the store is gone, and nobody can be asked any more
            self._done.set()

    def _serve(self) -> None:
        wanted = self._wake.wait(LOOK_EVERY_S)
        if self._exit_code is not None:
            return
        if wanted:
            self._roll = self._hold(_END)
            self._wake.clear()
            self._done.set()
        for roll in (_END, f"alarm{self._alarms}"):
            if roll not in self._asked and self._store.check([f"{roll}/open"]):
                self._answer(roll, caller=False)
        if time.monotonic() - max(self._control.since_s, self._alarmed_s) > self._alarm_s:
            self._alarm(self._hold(f"alarm{self._alarms}"))
            self._alarmed_s = time.monotonic()

    def _hold(self, roll: str) -> Roll:
        self._answer(roll, caller=True)
        self._store.set(f"{roll}/open", "")
        deadline = time.monotonic() + PATIENCE_S
        everyone = range(self._control.world_size)
        while True:
            answers = {rank: Answer(*json.loads(text)) for rank, text in self._read(roll).items()}
            left = {rank: int(text) for rank, text in self._read("left").items()}
            missing = [rank for rank in everyone if rank not in answers and rank not in left]
            if time.monotonic() > deadline or all(self._has_died(rank) for rank in missing):
                break
            time.sleep(0.1)
        lowest = min(rank for rank, answer in answers.items() if answer.caller)
        first = self._control.rank == lowest and self._store.add(f"{roll}/spoken", 1) == 1
        return Roll(answers, left, reachable=True, first=first)

    def _answer(self, roll: str, *, caller: bool) -> None:
        here = self._control
        said = [here.place, here.doing, time.monotonic() - here.since_s, caller]
        self._store.set(f"{roll}/{here.rank}", json.dumps(said))
        self._asked.add(roll)
        self._alarms = len(self._asked - {_END})

    def _read(self, what: str) -> dict[int, bytes]:
        keys = {rank: f"{what}/{rank}" for rank in range(self._control.world_size)}
        return {rank: self._store.get(key) for rank, key in keys.items() if self._store.check([key])}

    def _has_died(self, rank: int) -> bool:
        return state_of(self._meeting.peers[rank], self._meeting.peers[self._control.rank]) == DIED


def state_of(peer: Peer, own: Peer) -> str:
    """What this node knows of a process that does not answer."""
    if (peer.node, peer.namespace) != (own.node, own.namespace):
        return "no answer, dead or cut off"
    with suppress(psutil.NoSuchProcess):
        status = psutil.Process(peer.pid).status()
        if status == psutil.STATUS_STOPPED:
            return "stopped by a signal"
        if status not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
            return "no answer"
    return DIED
