"""Run under a launcher: loops of exchanges in place of the command line's verbs, with its ways to end.

Arguments: JOB and those of the job. Each rank leaves its process number in FOLDER/RANK.pid once all have met.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

import dcam_dist.commands
import dcam_dist.distributed.context
from dcam_dist.__main__ import main
from dcam_dist.distributed import ProcessContext, agree_on_place, max_over_ranks, open_processes, share_notes
from dcam_dist.errors import DataError, StopRequested, VolumeDamaged
from dcam_dist.training.leaving import Leaving, hearing_signals


def present(folder: str, context: ProcessContext) -> None:
    share_notes({}, context)
    partial = Path(folder, f"{context.rank}.partial")
    partial.write_text(str(os.getpid()))
    partial.rename(partial.with_suffix(".pid"))


def say(line: str) -> None:
    """One write, whatever Python's buffering: the ranks share their standard output."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def loop(folder: str, timeout_s: str, seconds: str = "60", work_s: str = "0.001") -> None:
    """Steps of what a training does: exchanges over the control group, sums over the default one, work."""
    with open_processes(float(timeout_s)) as context:
        present(folder, context)
        end, step = time.monotonic() + float(seconds), 0
        gradients = torch.ones(100_000)
        while share_notes({"over": ""} if time.monotonic() > end else {}, context) == {}:
            agree_on_place(f"epoch 1, train, step {step}", context)
            dist.all_reduce(gradients)
            gradients /= context.world_size
            time.sleep(float(work_s))
            step += 1
    say(f"rank {context.rank} took {step} steps")


def cling(folder: str, timeout_s: str) -> None:
    """The loop, with a clean-up that never ends."""
    try:
        loop(folder, timeout_s)
    finally:
        time.sleep(60)


def leave(folder: str, timeout_s: str) -> None:
    """The same, until a signal asks one of the ranks to leave."""
    leaving = Leaving()
    with open_processes(float(timeout_s)) as context, hearing_signals(leaving):
        present(folder, context)
        while not (asked := share_notes({"by": leaving.signals[0]} if leaving.signals else {}, context)):
            time.sleep(0.01)
        time.sleep(1.0)  # a save
        Path(folder, f"{context.rank}.saved").touch()
        raise StopRequested(f"asked to leave by {asked['by']}")


def short(folder: str, guarded: str) -> None:
    """Rank 1 takes a step less than the others."""
    with open_processes(5) as context:
        present(folder, context)
        for step in range(5 - (context.rank == 1)):
            if guarded == "guarded":
                agree_on_place(f"step {step}", context)
            _sum(10.0)
        if guarded == "guarded":
            agree_on_place("the end", context)
        Path(folder, f"{context.rank}.sum").write_text(str(_sum(1.0)))
        if context.rank == 1:
            _sum(0.0)  # so that all take part in as many sums


def _sum(value: float) -> float:
    total = torch.tensor(value)
    dist.all_reduce(total)
    return total.item()


def differ(folder: str) -> None:
    """One rank asks for a maximum, the other shares notes."""
    with open_processes(5) as context:
        present(folder, context)
        if context.rank:
            max_over_ranks(1.0, context)
        else:
            share_notes({}, context)


def late(folder: str, timeout_s: str) -> None:
    """Rank 1 is at work elsewhere for too long."""
    with open_processes(float(timeout_s)) as context:
        present(folder, context)
        agree_on_place("epoch 3, cluster", context)
        if context.rank == 1:
            time.sleep(60)
        share_notes({}, context)


def blocked(folder: str, timeout_s: str, seconds: str = "60") -> None:
    """As a process on a GPU that waits for it: nothing is heard of the main thread."""
    dcam_dist.distributed.context._alarm_s = lambda *_: float(timeout_s)
    with open_processes(float(timeout_s)) as context:
        agree_on_place("epoch 1, train, step 5", context)
        present(folder, context)
        time.sleep(float(seconds))
        say(f"rank {context.rank} is through")


def fail(folder: str, how: str, ranks: str) -> None:
    """Some ranks fail, the others wait for them."""
    with open_processes(20) as context:
        present(folder, context)
        if str(context.rank) in ranks.split(","):
            _failures(how)
        share_notes({}, context)


def _failures(how: str) -> None:
    if how == "memory":
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139.72 GiB of which 9.50 "
            "GiB is free. Including non-PyTorch memory, this process has 130.22 GiB memory in use. Of the allocated "
            "memory 128.51 GiB is allocated by PyTorch, and 1.02 GiB is reserved by PyTorch but unallocated."
        )
    if how == "damaged":
        raise VolumeDamaged("case001 is damaged")
    if how == "data":
        raise DataError("too few cases")
    raise ZeroDivisionError(how)


def quick(folder: str) -> None:
    """Meet once."""
    with open_processes(20) as context:
        present(folder, context)
        say(str(context))


def again(folder: str) -> None:
    """The first time rank 1 dies once all have met; the next time all is well."""
    died = Path(folder, "died")
    with open_processes(15) as context:
        agree_on_place(f"the {'second' if died.exists() else 'first'} round", context)
        if context.rank == 1 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        say(f"rank {context.rank} summed {_sum(1.0)}")


JOBS = {job.__name__: job for job in (loop, cling, leave, short, differ, late, blocked, fail, quick, again)}


def run(args: list[str], prog_name: str) -> None:
    JOBS[args[0]](*args[1:])


if __name__ == "__main__":
    dcam_dist.commands.app = run
    sys.exit(main())
