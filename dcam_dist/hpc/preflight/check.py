"""``preflight``: what must hold on all nodes before a batch job's work begins, asked by one task a node.

The nodes meet in a store at one port, hosted by the first; it hears what each found, compares, and tells the verdict.
Every wait ends: for the others after ``Wanted.come_s``, for the first node's port after 45 s, for a first word of who
listens there after ``WORD_S``, for the verdict ``VERDICT_S`` after all must have come.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue

from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from dcam_dist.distributed.network import is_own, place, wait_for_door
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.hpc.preflight.exchange import as_first, as_other
from dcam_dist.hpc.preflight.node_state import NodeState, Wanted, look_around
from dcam_dist.hpc.preflight.verdict import Clock, Findings, judge

WORD_S, VERDICT_S = 8.0, 15.0


def parse_place(text: str) -> tuple[str, int]:
    """Host and port from ``HOST:PORT`` or ``[ADDRESS]:PORT``.

    Raises:
        UsageError: When the text is anything else.
    """
    found = re.fullmatch(r"(?:\[([^\]\s]+)\]|([^:\s]+)):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[3]) < 2**16:
        raise UsageError(f"--meet {text}: not of the form HOST:PORT, such as gpu07:29400 or [fd77::1]:29400")
    return found[1] or found[2], int(found[3])


def preflight(wanted: Wanted, variables: Mapping[str, str] = os.environ) -> Findings:
    """Look at this node and, where a place to meet is given, compare it with the others.

    The first node (``SLURM_NODEID`` 0, or else the one whose address the place is) hosts the meeting. It finds what is
    wrong on any node; on the others ``Findings.speaks`` is false then, and true only where they could not meet it.

    Args:
        wanted: What the job is to find.
        variables: The environment; Slurm's number of the node and the job are read.

    Raises:
        UsageError: Several nodes without a place to meet.
    """
    if wanted.nodes > 1 and wanted.meet is None:
        raise UsageError("--nodes: several need a place to meet; say --meet HOST:PORT, of the job's first node")
    here = look_around(wanted, variables)
    if wanted.meet is None:
        return judge(wanted, [here], [Clock()], ())
    room = f"preflight/{variables.get('SLURM_JOB_ID', '')}"
    try:
        if _is_first(wanted.meet, here):
            store = PrefixStore(room, _store(wanted.meet, first=True))
            return as_first(store, wanted, here, time.monotonic() + wanted.come_s)
        wait_for_door(*wanted.meet)
        found = _in_time(partial(_visit, wanted.meet, room, wanted, here), wanted.meet, wanted.come_s + VERDICT_S)
    except EnvironmentFault as fault:
        return Findings((*here.faults, _named(here, str(fault))))
    return replace(found, faults=tuple(_named(here, fault) for fault in found.faults)) if found.speaks else found


def _is_first(meet: tuple[str, int], here: NodeState) -> bool:
    own = is_own(meet[0])
    if here.number == 0 and not own:
        raise EnvironmentFault(f"{place(*meet)} is not on this node, the first; give an address of this node")
    return own if here.number is None else here.number == 0


def _visit(
    meet: tuple[str, int], room: str, wanted: Wanted, here: NodeState, met: threading.Event, deadline: float
) -> Findings:
    return as_other(PrefixStore(room, _store(meet, first=False)), wanted, here, met, deadline)


def _store(meet: tuple[str, int], *, first: bool) -> Store:
    try:
        return TCPStore(*meet, is_master=first, wait_for_workers=False, timeout=timedelta(seconds=WORD_S))
    except RuntimeError:
        what = "the port cannot be opened; is it in use? Choose another" if first else "no preflight answers there"
        raise EnvironmentFault(f"{place(*meet)}: {what}") from None


def _in_time(visit: Callable[[threading.Event, float], Findings], meet: tuple[str, int], within_s: float) -> Findings:
    """Visit in a thread of its own: torch's store waits for ever for a host that listens and says nothing."""
    ended: SimpleQueue[Findings | EnvironmentFault] = SimpleQueue()
    met, deadline = threading.Event(), time.monotonic() + within_s

    def run() -> None:
        try:
            ended.put(visit(met, deadline))
        except EnvironmentFault as fault:
            ended.put(fault)
        met.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        found = ended.get(timeout=max(0.0, deadline - time.monotonic()) if met.wait(WORD_S) else 0.0)
    except Empty:
        found = EnvironmentFault(f"{place(*meet)} is open but no preflight answers there; look at the first node")
    if isinstance(found, EnvironmentFault):
        raise found
    return found


def _named(here: NodeState, line: str) -> str:
    return line if line.startswith(here.name) else f"{here.name}: {line}"
