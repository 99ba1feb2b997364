"""What a real step allocates on a CPU, told by torch's profiler in a fresh process."""

import multiprocessing
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.one_step import make_step
from dcam_dist.config import Config
from dcam_dist.models import build_network


def allocated_by_step(config: Config, repeats: int, cores: int) -> list[float]:
    """MiB that the tensors of a step held at once above what there was before it, of so many fresh processes."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return [pool.apply(_in_this_process, (config, cores)) for _ in range(repeats)]


def peak_allocation(step: object) -> int:
    """Bytes that a call's tensors held at once above what there was before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()  # type: ignore[operator]
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return int(max(accumulate(changes)))


def _in_this_process(config: Config, cores: int) -> float:
    torch.set_num_threads(cores)
    step = make_step(build_network(config), config, 1)
    step()  # the gradients are there from now on
    return peak_allocation(step) / 2**20
