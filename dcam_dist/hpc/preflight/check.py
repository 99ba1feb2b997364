"""``preflight``: what must hold on all nodes before a batch job's work begins, asked by one task a node.

The nodes meet in a store at one port, hosted by the first; it hears what each found, compares, and tells the verdict.
Every wait ends: after ``COME_S`` for the others to come, after ``VERDICT_S`` for the verdict.
"""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from dcam_dist.distributed.network import addresses_of, is_own, place, wait_for_door
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.hpc.preflight.exchange import as_first, as_other
from dcam_dist.hpc.preflight.node_state import NodeState, Wanted, look_around
from dcam_dist.hpc.preflight.verdict import Clock, Findings, judge

COME_S, VERDICT_S = 30.0, 45.0


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
    began = time.monotonic()
    here = look_around(wanted, variables)
    if wanted.meet is None:
        return judge(wanted, [here], [Clock()], ())
    try:
        first, store = _meet(wanted.meet, here, began)
    except EnvironmentFault as fault:
        return Findings((*here.faults, _named(here, str(fault))))
    store = PrefixStore(f"preflight/{variables.get('SLURM_JOB_ID', '')}", store)
    if first:
        return as_first(store, wanted, here, began + COME_S)
    found = as_other(store, wanted, here, began + VERDICT_S)
    return replace(found, faults=tuple(_named(here, fault) for fault in found.faults)) if found.speaks else found


def _meet(meet: tuple[str, int], here: NodeState, began: float) -> tuple[bool, Store]:
    """Whether this is the first node, and the store of the meeting.

    Raises:
        EnvironmentFault: When the place cannot be hosted or reached.
    """
    host, port = meet
    addresses_of(host)
    own = is_own(host)
    first = own if here.number is None else here.number == 0
    if first and not own:
        raise EnvironmentFault(f"{place(host, port)} is not on this node, the first; give an address of this node")
    if not first:
        wait_for_door(host, port, COME_S - (time.monotonic() - began))
    try:
        store = TCPStore(host, port, is_master=first, wait_for_workers=False, timeout=timedelta(seconds=VERDICT_S))
    except RuntimeError:
        what = "the port cannot be opened; is it in use? Choose another" if first else "no preflight answers there"
        raise EnvironmentFault(f"{place(host, port)}: {what}") from None
    return first, store


def _named(here: NodeState, line: str) -> str:
    return line if line.startswith(here.name) else f"{here.name}: {line}"
