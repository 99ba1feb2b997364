"""From a failed collective or a full memory to one line for the user."""

import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from dcam_dist.distributed.control import Control, ranks_by_place
from dcam_dist.distributed.meeting import Meeting, named
from dcam_dist.distributed.roll_call import Answer, Roll, Watch, state_of
from dcam_dist.errors import DcamError, EnvironmentFault, FailedElsewhere, RankLost, tell

log = logging.getLogger(__name__)

UNWIND_S = 1.5
"""A rank that has lost another may clean up for so long before its process is ended."""
SPEAK_FIRST_S = 1.0
"""Ranks that say nothing leave so much later: a launcher ends all ranks when the first one has left."""

_FAILED_COLLECTIVE = re.compile(r"gloo/|pair closure|Connection (closed|reset)|Broken pipe|Socket |NCCL")
_NEXT = "start again: the run goes on from its last checkpoint"


@contextmanager
def naming_silent_ranks(meeting: Meeting, control: Control, watch: Watch, timeout_s: float) -> Iterator[None]:
    """Turn the failure of any collective within into ``RankLost``, on every rank that is left.

    After that the process is ended within ``UNWIND_S``, whatever still runs in it: connections to a stopped rank may
    hold up the clean-up for ever.

    Raises:
        RankLost: Names the ranks that do not answer, or who is where when all do.
        FailedElsewhere: When a rank has left with an error of its own, which it tells.
    """
    try:
        yield
    except RankLost as error:
        _end_soon(error)
        raise
    except RuntimeError as error:
        if not is_failed_collective(error):
            raise
        lost = verdict(watch.call(), meeting, control, timeout_s)
        if not isinstance(lost, RankLost) or lost.quiet:
            time.sleep(SPEAK_FIRST_S)
        _end_soon(lost)
        raise lost from error


def is_failed_collective(error: BaseException) -> bool:
    """Whether this is what torch raises when another rank does not come or its connection is gone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and _FAILED_COLLECTIVE.search(str(error)) is not None
    )


def end_when_lost(meeting: Meeting, control: Control, timeout_s: float, roll: Roll) -> None:
    """End this process when a roll call, held while it waits for its GPU, finds others silent.

    Where all answer, they may be at work for long, or a GPU hangs; nobody here can tell, so who is where is logged.
    """
    if len(roll.answers.keys() | {rank for rank, code in roll.left.items() if not code}) == control.world_size:
        _tell_of_standstill(roll, meeting, control, timeout_s)
        return
    lost = verdict(roll, meeting, control, timeout_s)
    if not isinstance(lost, RankLost) or lost.quiet:
        time.sleep(SPEAK_FIRST_S)
    else:
        tell(str(lost))
    os._exit(lost.exit_code)


def verdict(roll: Roll, meeting: Meeting, control: Control, timeout_s: float) -> DcamError:
    """What to say after a roll call."""
    where = f"{control.place} ({control.doing})" if control.doing else control.place
    codes = [code for code in roll.left.values() if code]
    if codes:
        return FailedElsewhere(codes[0])
    if not roll.reachable:
        return _cut_off(meeting, control, where)
    silent = [rank for rank in range(control.world_size) if rank not in roll.answers]
    if silent:
        line = f"lost {_states(silent, meeting, control, roll.left)} at {where}; {_NEXT}"
    else:
        line = f"{_stragglers(roll.answers, meeting, timeout_s)}; {_NEXT}"
    return RankLost(line, quiet=not roll.first)


def _tell_of_standstill(roll: Roll, meeting: Meeting, control: Control, timeout_s: float) -> None:
    """Once for all ranks while they stay where they are. In the thread to which the meeting's store belongs."""
    states = [roll.answers.get(rank) for rank in range(control.world_size)]
    where = json.dumps([one and (one.place, one.doing) for one in states])
    if meeting.roll.add(f"standstill/{hashlib.sha256(where.encode()).hexdigest()}", 1) > 1:
        return
    places = [
        f"{one.place} ({one.doing or 'at work'} for {one.since_s:.0f} s)" if one else "the end (done already)"
        for one in states
    ]
    log.warning(
        "no exchange for %.0f s (training.timeout_s), yet all ranks answer: %s; if it stays so, a GPU hangs: end the "
        "job, %s",
        timeout_s,
        ranks_by_place(places),
        _NEXT,
    )


def _states(silent: list[int], meeting: Meeting, control: Control, left: Collection[int] = ()) -> str:
    by_state: dict[str, list[int]] = {}
    for rank in silent:
        state = "done already" if rank in left else state_of(meeting.peers[rank], meeting.peers[control.rank])
        by_state.setdefault(state, []).append(rank)
    return ", ".join(f"{named(ranks, meeting.peers)} ({state})" for state, ranks in by_state.items())


def _stragglers(answers: dict[int, Answer], meeting: Meeting, timeout_s: float) -> str:
    """All answer: some are still at work elsewhere, or all wait, for each other."""
    places = [f"{answers[rank].place} ({answers[rank].doing or 'at work'})" for rank in sorted(answers)]
    late = [rank for rank, answer in answers.items() if not answer.caller and not answer.doing]
    if late:
        waited = f"did not come within {timeout_s:.0f} s (training.timeout_s)"
        return f"{named(late, meeting.peers)} {waited}: {ranks_by_place(places)}"
    return f"the ranks wait for each other or have lost a connection: {ranks_by_place(places)}"


def _cut_off(meeting: Meeting, control: Control, where: str) -> RankLost:
    node = meeting.peers[control.rank].node
    neighbours = [rank for rank, peer in enumerate(meeting.peers) if peer.node == node]
    others = [rank for rank in range(control.world_size) if rank not in neighbours]
    if not others:
        others = [rank for rank in neighbours if rank != control.rank]
        line = f"lost connection to {_states(others, meeting, control)} at {where}"
    else:
        line = (
            f"{named(neighbours, meeting.peers)} cannot reach {meeting.where}, where the ranks meet, nor "
            f"{named(others, meeting.peers)}: the network is cut or a node is lost, at {where}"
        )
    return RankLost(f"{line}; {_NEXT}", quiet=control.rank != min(neighbours))


def _end_soon(error: DcamError) -> None:
    def end() -> None:
        if isinstance(error, RankLost) and not error.quiet:
            tell(str(error))
        os._exit(error.exit_code)

    timer = threading.Timer(UNWIND_S, end)
    timer.daemon = True
    timer.start()


def memory_fault(error: BaseException, rank: int, world_size: int) -> EnvironmentFault | None:
    """One line for an exhausted memory, of the GPU or of the machine; ``None`` for any other error."""
    text = str(error)
    if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in text:
        return None
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ ?\w+)", text)
    size = re.search(r"total capacity of ([\d.]+ ?\w+)", text)
    taken = re.search(r"([\d.]+ ?\w+) is allocated by PyTorch", text)
    facts = [f"{asked[1]} more were asked for" if asked else "", f"{taken[1]} were in use" if taken else ""]
    facts.append(f"the device has {size[1]}" if size else "")
    who = f"rank {rank}: " if world_size > 1 else ""
    device = "GPU" if isinstance(error, torch.OutOfMemoryError) else "main"
    return EnvironmentFault(
        f"{who}{device} memory is full: {', '.join(fact for fact in facts if fact)}; set network.checkpointing=block, "
        "then training.accumulation (more, smaller parts), a smaller data.patch, or a smaller training.batch_size"
    )
