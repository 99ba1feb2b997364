"""What a training step takes in a fresh process: its tensors at once, and the process itself."""

import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from multiprocessing.pool import Pool

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.one_step import make_step
from benchmarks.resident import forget_peak, peak_bytes, resident_bytes
from dcam_dist.config import Config
from dcam_dist.models import build_network
from dcam_dist.profiling.storages import StorageMeter

MIB = 2**20


@dataclass(frozen=True)
class Taken:
    """What the second of two steps took.

    Attributes:
        tensors: MiB that the tensors of the step held at once above what there was before it, by their storages.
        allocated: The same by torch's allocator: with what the libraries take within an operator.
        process: MiB that the whole process grew by since before the network was built: its resident set on a CPU, all
            that the allocator reserved on a card.
    """

    tensors: float
    allocated: float
    process: float


def taken_by_step(config: Config, cases: int, repeats: int, cores: int, cap_gb: float | None = None) -> list[Taken]:
    """A step of the network in so many fresh processes, on a card if there is one.

    Args:
        config: Network and grid.
        cases: Volumes of the step.
        repeats: Processes, one after another.
        cores: Threads.
        cap_gb: Of a card, no more than so many GB may be taken.

    Returns:
        One for each process; none where the step did not fit the cap.
    """
    with fresh_processes() as pool:
        found = [pool.apply(_in_this_process, (config, cases, cores, cap_gb)) for _ in range(repeats)]
    return [one for one in found if one is not None]


def fresh_processes() -> Pool:
    """A pool that makes a new process for each call, from one that has only imported torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.allocated"])
    return context.Pool(1, maxtasksperchild=1)


def peak_allocation(step: object) -> int:
    """Bytes that a call's tensors held at once above what there was before it, on a CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()  # type: ignore[operator]
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return int(max(accumulate(changes)))


def _in_this_process(config: Config, cases: int, cores: int, cap_gb: float | None) -> Taken | None:
    if torch.cuda.is_available():
        return _on_the_card(config, cases, cap_gb)
    torch.set_num_threads(cores)
    forget_peak()
    before = resident_bytes()
    step = make_step(build_network(config), config, cases)
    step()  # the gradients are there from now on
    step()
    grown = peak_bytes() - before
    return Taken(_tracked(step), peak_allocation(step) / MIB, grown / MIB)


def _tracked(step: Callable[[], object]) -> float:
    with StorageMeter() as meter:
        step()
    return meter.peak_bytes / MIB


def _on_the_card(config: Config, cases: int, cap_gb: float | None) -> Taken | None:
    if cap_gb is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap_gb * 1e9 / total))
    try:
        step = make_step(build_network(config).to("cuda"), config, cases, "cuda")
        step()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        allocated = (torch.cuda.max_memory_allocated() - before) / MIB
        return Taken(_tracked(step), allocated, torch.cuda.max_memory_reserved() / MIB)
    except RuntimeError as error:  # out of memory, or what cuDNN says of tensors that are too large for it
        print(f"{config.grid.shape}: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
