"""The talk of the nodes of a preflight, with a store in this process: who is one too many, and who falls silent."""

import threading
import time
from dataclasses import asdict
from threading import Event

import pytest
from torch._C._distributed_c10d import HashStore

from dcam_dist.hpc.preflight import Wanted, exchange
from dcam_dist.hpc.preflight.node_state import NodeState

WANTED = Wanted(2, 0)
FIRST = NodeState("node 0 (a)", 0, {"torch": "1"})
OTHER = NodeState("node 1 (b)", 1, {"torch": "1"})


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(exchange, "ANSWER_S", 0.3)


def _soon():
    return time.monotonic() + 2


def _first(store, wanted=WANTED):
    """Runs beside; its findings come into the list."""
    found = []
    thread = threading.Thread(target=lambda: found.append(exchange.as_first(store, wanted, FIRST, _soon())))
    thread.start()
    return thread, found


def test_both_hear_the_verdict_and_clocks_are_measured():
    store = HashStore()
    thread, found = _first(store)
    theirs = exchange.as_other(store, WANTED, OTHER, Event(), _soon())
    thread.join()
    assert (theirs.faults, theirs.speaks) == ((), False)
    assert found[0].faults == () and "clocks within" in found[0].summary


def test_a_clock_that_is_behind_is_a_fault(monkeypatch):
    store, real = HashStore(), time.time
    thread, found = _first(store)
    here = threading.get_ident()
    monkeypatch.setattr(time, "time", lambda: real() - 90 * (threading.get_ident() == here))
    theirs = exchange.as_other(store, WANTED, OTHER, Event(), _soon())
    thread.join()
    assert theirs.faults and not theirs.speaks
    assert [line for line in found[0].faults if "its clock is 90.0 s off that of node 0 (a)" in line]


def test_one_too_many_is_told_on_both_sides():
    store = HashStore()
    store.add("guests", 1)
    assert "came as one too many" in exchange.as_other(store, WANTED, OTHER, Event(), _soon()).faults[0]
    thread, found = _first(store, Wanted(1, 0))
    thread.join()
    assert found[0].faults == ("node 0 (a): 3 tasks came, --nodes says 1; start one a node, on as many nodes",)


@pytest.mark.parametrize("state", [None, asdict(OTHER), {"name": "of another version"}])
def test_who_came_and_fell_silent_is_told(state):
    store = HashStore()
    store.add("guests", 1)
    if state:
        exchange._tell(store, "state/1", state)
    thread, found = _first(store)
    thread.join()
    assert "1 of 2 nodes (node 1) came and fell silent" in found[0].faults[0]


def test_a_first_node_that_falls_silent_is_told_with_what_is_wrong_here():
    faulty = NodeState("node 1 (b)", 1, {}, faults=("node 1 (b): sees 0 of 4 GPUs",))
    found = exchange.as_other(HashStore(), WANTED, faulty, Event(), time.monotonic() + 0.2)
    assert found.speaks and found.faults[0] == faulty.faults[0] and "the first node fell silent" in found.faults[1]
