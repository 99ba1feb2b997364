"""What is said after a roll call, and of an exhausted memory."""

import os
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from dcam_dist.distributed.control import Control, ranks_by_place
from dcam_dist.distributed.lost import end_when_lost, is_failed_collective, memory_fault, verdict
from dcam_dist.distributed.meeting import Meeting, Peer, alone, named
from dcam_dist.distributed.roll_call import Answer, Roll
from dcam_dist.errors import EnvironmentFault, FailedElsewhere, RankLost

HERE = Peer("a", os.getpid(), "1")
GONE = Peer("a", 2**22 - 1, "1")
FAR = Peer("b", 1, "1")
CONTROL = Control(rank=0, world_size=3, place="epoch 2, train, step 7", doing="sharing notes")
CALLS = Answer("epoch 2, train, step 7", "sharing notes", 600.0, caller=True)
WORKS = Answer("epoch 2, train, step 6", "", 700.0, caller=False)
WAITS = Answer("epoch 2, extract", "gathering", 3.0, caller=False)


def said(answers, peers=(HERE, GONE, FAR), left=None, reachable=True, first=True):
    meeting = Meeting(alone(), alone(), peers, "a:29500")
    return verdict(Roll(answers, left or {}, reachable, first), meeting, CONTROL, 600)


def test_silent_ranks_are_named_with_their_nodes_and_what_is_known_of_them():
    lost = said({0: CALLS})
    assert isinstance(lost, RankLost) and not lost.quiet and lost.exit_code == 4
    assert str(lost) == (
        "lost rank 1 on a (died), rank 2 on b (no answer, dead or cut off) at epoch 2, train, step 7 (sharing notes); "
        "start again: the run goes on from its last checkpoint"
    )


def test_on_one_node_no_node_is_named():
    assert str(said({0: CALLS, 2: CALLS}, peers=(HERE, GONE, HERE))).startswith("lost rank 1 (died) at epoch 2")


def test_only_the_first_speaks():
    assert said({0: CALLS}, first=False).quiet


def test_a_rank_at_work_elsewhere_is_named_with_its_place():
    line = str(said({0: CALLS, 1: WORKS, 2: WAITS}))
    assert line.startswith("rank 1 on a did not come within 600 s (training.timeout_s): ")
    assert "rank 1 at epoch 2, train, step 6 (at work)" in line and "rank 2 at epoch 2, extract (gathering)" in line


def test_ranks_that_all_wait_are_told_apart_by_place():
    assert "wait for each other" in str(said({0: CALLS, 1: WAITS, 2: WAITS}))
    assert "ranks 1, 2 at epoch 2, extract (gathering)" in str(said({0: CALLS, 1: WAITS, 2: WAITS}))


def test_a_standstill_of_ranks_that_all_answer_is_logged_once_with_their_places(caplog):
    meeting = Meeting(alone(), alone(), (HERE, GONE, FAR), "a:29500")
    blocked, further = replace(CALLS, doing=""), replace(WORKS, place="epoch 2, train, step 9")
    for answers in ({0: blocked, 1: WORKS}, {0: replace(blocked, since_s=1200), 1: WORKS}, {0: blocked, 1: further}):
        end_when_lost(meeting, CONTROL, 600, Roll(answers, {2: 0}, reachable=True, first=True))
    first, second = caplog.messages
    assert first == (
        "no exchange for 600 s (training.timeout_s), yet all ranks answer: rank 0 at epoch 2, train, step 7 (at work "
        "for 600 s); rank 1 at epoch 2, train, step 6 (at work for 700 s); rank 2 at the end (done already); if it "
        "stays so, a GPU hangs: end the job, start again: the run goes on from its last checkpoint"
    )
    assert "rank 1 at epoch 2, train, step 9" in second


def test_a_rank_that_left_with_an_error_tells_it_itself():
    elsewhere = said({0: CALLS, 2: CALLS}, left={1: 3})
    assert isinstance(elsewhere, FailedElsewhere) and elsewhere.exit_code == 3


def test_beyond_a_cut_the_meeting_place_and_the_others_are_named():
    line = str(said({}, reachable=False))
    assert line.startswith(
        "ranks 0, 1 on a cannot reach a:29500, where the ranks meet, nor rank 2 on b: the network is"
    )


def test_on_one_node_without_an_answer_the_processes_are_looked_at():
    assert str(said({}, peers=(HERE, GONE, GONE), reachable=False)).startswith(
        "lost connection to ranks 1, 2 (died) at"
    )


def test_ranks_and_places_in_words():
    assert named([0, 1, 2], (HERE, GONE, FAR)) == "ranks 0, 1 on a, rank 2 on b"
    assert ranks_by_place(["x", "y", "x"]) == "ranks 0, 2 at x; rank 1 at y"


@pytest.mark.parametrize(
    "error",
    [
        dist.DistBackendError("NCCL timeout"),
        RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1"
        ),
        RuntimeError("Application timeout caused pair closure"),
    ],
)
def test_what_torch_raises_for_a_lost_rank_is_known(error):
    assert is_failed_collective(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("gloo/"), torch.OutOfMemoryError("full")])
def test_other_errors_are_not_taken_for_a_lost_rank(error):
    assert not is_failed_collective(error)


def test_an_exhausted_memory_is_one_line_with_what_was_asked_for_and_what_to_change():
    error = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139.72 GiB of which 9.5 GiB is "
        "free. Of the allocated memory 128.51 GiB is allocated by PyTorch, and 1.02 GiB is reserved"
    )
    fault = memory_fault(error, 1, 2)
    assert isinstance(fault, EnvironmentFault)
    assert str(fault).startswith(
        "rank 1: GPU memory is full: 20.00 GiB more were asked for, 128.51 GiB were in use, the device has 139.72 GiB; "
    )
    for setting in ("network.checkpointing=block", "data.patch", "training.batch_size"):
        assert setting in str(fault)
    assert memory_fault(torch.OutOfMemoryError("?"), 0, 1) is not None
    assert memory_fault(RuntimeError("shape"), 0, 1) is None


def test_an_exhausted_main_memory_is_told_too():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.float64)
    fault = memory_fault(caught.value, 0, 1)
    assert fault is not None and str(fault).startswith(
        "main memory is full: 9007199254740992 bytes more were asked for"
    )
