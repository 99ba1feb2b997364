"""How the nodes of a preflight talk: the first hears the others one by one, and all hear its verdict.

Only JSON goes over the store. The clock of a node is measured as NTP does: it sends, the first node answers with its
time, and of several such exchanges the quickest counts; half its duration is the error.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

from torch._C._distributed_c10d import Store

from dcam_dist.hpc.preflight.node_state import NodeState, Wanted, folder_of
from dcam_dist.hpc.preflight.verdict import Clock, Findings, judge

PINGS = 8
ANSWER_S = 5.0
"""Longest wait for one who has come; together they may take twice as long."""
SEEN_S = 5.0
"""So long a file may take to be seen on another node: network file systems keep lists of names for a moment."""


def as_first(store: Store, wanted: Wanted, here: NodeState, deadline: float) -> Findings:
    """Host the meeting, hear all nodes, judge, and tell.

    Args:
        store: Hosted by this process.
        wanted: What the job is to find.
        here: This node.
        deadline: Until when the others may come, of ``time.monotonic``.
    """
    end = deadline + 2 * ANSWER_S
    with _token(wanted.output) as token:
        _tell(store, "token", token)
        states, clocks = [here], [Clock()]
        for guest in range(1, wanted.nodes):
            state = _state(_hear(store, f"state/{guest}", deadline - time.monotonic()))
            clock = _answer_pings(store, guest, end) if state else None
            if state and clock:
                states.append(state)
                clocks.append(clock)
    came = 1 + int(store.add("guests", 0))
    found = judge(wanted, states, clocks, [f"{here.name}: {line}" for line in _absent(wanted, states, came)])
    _tell(store, "verdict", bool(found.faults))
    for guest in range(1, wanted.nodes):
        if store.check([f"clock/{guest}"]):
            _hear(store, f"bye/{guest}", min(ANSWER_S, end - time.monotonic()))  # the store ends with this process
    return found


def as_other(store: Store, wanted: Wanted, here: NodeState, met: Event, deadline: float) -> Findings:
    """Tell the first node what is here, and hear its verdict.

    Args:
        store: Hosted by the first node.
        wanted: What the job is to find.
        here: This node.
        met: Set when the first node has said its first word.
        deadline: Until when the verdict must be there, of ``time.monotonic``.
    """
    silent = Findings((*here.faults, "the first node fell silent; look at what it says"))
    try:
        guest = int(store.add("guests", 1))
        if guest >= wanted.nodes:
            return Findings((f"came as one too many, --nodes says {wanted.nodes}; start one task a node",))
        token = _hear(store, "token", deadline - time.monotonic())
        met.set()
        unseen = _unseen(token) if token and wanted.output else None
        mine = replace(here, faults=(*here.faults, *([f"{here.name}: {unseen}"] if unseen else ())))
        _tell(store, f"state/{guest}", asdict(mine))
        _tell(store, f"clock/{guest}", asdict(_ping(store, guest, deadline)))
        failed = _hear(store, "verdict", deadline - time.monotonic())
        _tell(store, f"bye/{guest}", True)
    except (RuntimeError, TimeoutError):  # the store's own: its host is gone
        return silent
    if failed is None:
        return silent
    return Findings(("the first node says why",) if failed else (), speaks=False)


def _ping(store: Store, guest: int, deadline: float) -> Clock:
    quickest = Clock(0.0, float("inf"))
    for count in range(PINGS):
        sent = time.time()
        _tell(store, f"ping/{guest}/{count}", True)
        there = _hear(store, f"pong/{guest}/{count}", deadline - time.monotonic())
        if there is None:
            raise TimeoutError
        took = time.time() - sent
        if took / 2 < quickest.error_s:
            quickest = Clock(sent + took / 2 - there, took / 2)
    return quickest


def _answer_pings(store: Store, guest: int, end: float) -> Clock | None:
    for count in range(PINGS):
        if _hear(store, f"ping/{guest}/{count}", min(ANSWER_S, end - time.monotonic())) is None:
            return None
        _tell(store, f"pong/{guest}/{count}", time.time())
    measured = _hear(store, f"clock/{guest}", ANSWER_S)
    return Clock(**measured) if measured else None


def _state(tree: Any) -> NodeState | None:
    try:
        return NodeState.from_json(tree) if tree else None
    except (TypeError, KeyError):  # of a version of this package that says other things
        return None


def _absent(wanted: Wanted, states: Sequence[NodeState], came: int) -> list[str]:
    if came > wanted.nodes:
        return [f"{came} tasks came, --nodes says {wanted.nodes}; start one a node, on as many nodes"]
    if (missing := wanted.nodes - len(states)) == 0:
        return []
    numbers = sorted(set(range(wanted.nodes)) - {state.number for state in states})
    known = all(state.number is not None for state in states) and len(numbers) == missing
    who = f" ({', '.join(f'node {number}' for number in numbers)})" if known else ""
    if came == wanted.nodes:
        return [f"{missing} of {wanted.nodes} nodes{who} came and fell silent; look at what they say, and at versions"]
    return [
        f"{missing} of {wanted.nodes} nodes{who} did not come; look at what they say, and whether srun starts one task "
        "on each"
    ]


@contextmanager
def _token(output: Path | None) -> Iterator[list[str]]:
    """A file in the output for the others to see, and what it holds; nothing where there is no output."""
    if output is None:
        yield []
        return
    content, path = secrets.token_hex(16), folder_of(output) / f".preflight.{os.getpid()}.{secrets.token_hex(8)}"
    try:
        path.write_text(content, encoding="ascii")
    except OSError:  # told as this node's fault
        yield []
        return
    try:
        yield [str(path), content]
    finally:
        path.unlink(missing_ok=True)


def _unseen(token: Sequence[str]) -> str | None:
    path, content = Path(token[0]), token[1]
    deadline = time.monotonic() + SEEN_S
    while True:
        try:
            if path.read_text(encoding="ascii") == content:
                return None
        except (OSError, ValueError):
            pass
        if time.monotonic() > deadline:
            return f"{path.parent}: not the same folder as on the first node; choose an output that all nodes share"
        time.sleep(0.1)


def _tell(store: Store, key: str, tree: Any) -> None:
    store.set(key, json.dumps(tree))


def _hear(store: Store, key: str, timeout_s: float) -> Any:
    try:
        store.wait([key], timedelta(seconds=max(timeout_s, 0.01)))
    except RuntimeError:
        return None
    return json.loads(store.get(key))
