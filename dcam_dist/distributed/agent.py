"""torchrun's agent of one node with another way to end; ``dcam_dist.launch`` is its command."""

import logging
import os
import select
import signal
import threading
import time
from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import psutil
import torch.distributed.run as torchrun
from torch.distributed.elastic.agent.server.api import DEFAULT_ROLE, RunResult, WorkerGroup
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousConnectionError
from torch.distributed.launcher import api

from dcam_dist.distributed.nodes import explain, fill_in, offer_meeting
from dcam_dist.distributed.patience import Patience
from dcam_dist.errors import DcamError, tell

LAST_WORDS_S = 5.0
AFTERMATH_S = 15.0
STOPPED, INTERRUPTED = 75, 130
NOT_AGAIN = frozenset({2, 3, STOPPED, INTERRUPTED})
"""After these --max-restarts is not made use of: the same start would end the same, or was asked to leave."""
PASSED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

_BY_WEIGHT = (2, 3, 1, STOPPED, INTERRUPTED, 4)
"""Of several exit codes the first of these counts: a rank that has lost another (4) only follows it."""


def launch(arguments: Sequence[str]) -> int:
    """Run torchrun with the agent below.

    Args:
        arguments: As on torchrun's command line.

    Returns:
        The exit code of the ranks.
    """
    parsed = torchrun.parse_args(list(arguments))  # type: ignore[no-untyped-call]
    parsed.signals_to_handle = "SIGHUP,SIGQUIT"  # the others are passed on
    logging.disable(logging.ERROR)
    api.LocalElasticAgent = Agent  # type: ignore[attr-defined]
    watch = Watch()
    watch.start()
    try:
        fill_in(parsed)
        Agent.patience = offer_meeting(parsed)
        torchrun.run(parsed)  # type: ignore[no-untyped-call]
    except Exception as error:
        return _failed(error, parsed, watch)
    return 0


def _failed(error: Exception, options: Namespace, watch: "Watch") -> int:
    """The exit code after what torchrun has raised; says why where no rank could."""
    if isinstance(error, ChildFailedError):
        return exit_code([failure.exitcode for failure in error.failures.values()], watch.asked)
    if isinstance(error, SignalException):
        return 128 + int(error.sigval)
    if isinstance(error, DcamError):
        tell(str(error))
        return error.exit_code
    if watch.asked:
        return STOPPED
    ranks = Agent.current.codes().values() if Agent.current else ()
    if own := [code for code in _BY_WEIGHT if code in ranks]:
        return own[0]
    tell(explain(error, options, watch.came))
    return 4


def exit_code(codes: Collection[int], asked: Collection[int]) -> int:
    """The launcher's exit code; says why where no rank could.

    Args:
        codes: Of the ranks of this node; negative ones are signals.
        asked: Signals by which the launcher was asked to leave.
    """
    own = [code for code in _BY_WEIGHT if code in codes]
    if own:
        return own[0]
    if not any(codes):
        return 0
    if strange := sorted({str(code) for code in codes if code > 0}):
        named = ", ".join(strange)
        tell(f"a rank ended with exit code {named}, which is none of dcam-dist's; look at what it said before")
        return 1
    if asked:
        tell("stopped on request; run the same command again to go on")
        return STOPPED
    ended_by = sorted({signal.Signals(-code).name for code in codes if code < 0})
    hint = "; with SIGKILL look whether the node was short of memory" if "SIGKILL" in ended_by else ""
    tell(f"a rank was ended by {', '.join(ended_by)}{hint}")
    return 4


class Agent(LocalElasticAgent):
    """torchrun's agent of one node, which gives the ranks time for their last words."""

    current: "Agent | None" = None
    patience: Patience | None = None
    _ranks_started = False

    def _invoke_run(self, role: str = DEFAULT_ROLE) -> RunResult:
        try:
            result: RunResult = super()._invoke_run(role)
        except RendezvousConnectionError:  # the launcher where all met has ended: a rank of its node may have failed
            self._await_end()
            raise
        return result

    def _initialize_workers(self, worker_group: WorkerGroup) -> None:
        Agent.current = self
        self._ranks_started = False
        super()._initialize_workers(worker_group)

    def _rendezvous(self, worker_group: WorkerGroup) -> None:
        with self.patience or nullcontext():
            super()._rendezvous(worker_group)

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        started: dict[int, Any] = super()._start_workers(worker_group)
        self._ranks_started = True
        return started

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        if any(self.codes().values()):
            self._await_end()
            for process in self._stopped():
                process.kill()  # it would sit through torchrun's 30 s
        if not NOT_AGAIN.isdisjoint(self.codes().values()):
            self._remaining_restarts = 0
        result: RunResult = super()._monitor_workers(worker_group)
        return result

    def nodes(self) -> int:
        """How many nodes have come to the present meeting, as far as this one knows."""
        holder = getattr(self._worker_group.spec.rdzv_handler, "_state_holder", None)
        return len(holder.state.participants) if holder else 0

    def codes(self) -> Mapping[int, int | None]:
        """Exit codes by process number; ``None`` while a rank runs. Empty before they are started."""
        if not self._ranks_started or self._pcontext is None:
            return {}
        handlers = self._pcontext.subprocess_handlers.values()  # type: ignore[attr-defined]
        return {handler.proc.pid: handler.proc.poll() for handler in handlers}

    def _await_end(self) -> None:
        deadline = time.monotonic() + LAST_WORDS_S
        while self._working() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _working(self) -> list[psutil.Process]:
        return [process for process in self._alive() if process not in self._stopped()]

    def _stopped(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [process for process in self._alive() if process.status() == psutil.STATUS_STOPPED]
        return []

    def _alive(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [psutil.Process(pid) for pid, code in self.codes().items() if code is None]
        return []


class Watch(threading.Thread):
    """Passes signals on and ends an agent that hangs; a thread, for the agent may be waiting for another node.

    Attributes:
        asked: The signals that came.
        came: The most nodes that were at the meeting of the launchers at once.
    """

    def __init__(self) -> None:
        super().__init__(name="launch-watch", daemon=True)
        self.asked: list[int] = []
        self.came = 1
        self._inbox, outbox = os.pipe()
        os.set_blocking(outbox, False)
        signal.set_wakeup_fd(outbox)
        for number in PASSED_ON:
            signal.signal(number, lambda *_: None)

    def run(self) -> None:
        """The thread."""
        ended_s: float | None = None
        while True:
            if select.select([self._inbox], [], [], 0.5)[0]:
                self._pass_on(os.read(self._inbox, 64))
            if Agent.current:
                self.came = max(self.came, Agent.current.nodes())
            codes = list(Agent.current.codes().values()) if Agent.current else []
            if not codes or None in codes:
                ended_s = None
            elif ended_s is None:
                ended_s = time.monotonic()
            elif time.monotonic() - ended_s > AFTERMATH_S:
                os._exit(exit_code([code for code in codes if code is not None], self.asked))

    def _pass_on(self, numbers: bytes) -> None:
        for number in (number for number in numbers if number in PASSED_ON):
            self.asked.append(number)
            running = [pid for pid, code in Agent.current.codes().items() if code is None] if Agent.current else []
            for pid in running:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if not Agent.current or not Agent.current.codes():  # no rank has started yet
                tell("stopped on request; run the same command again to go on")
                os._exit(STOPPED)
