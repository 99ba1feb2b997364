"""What each policy of activation checkpointing costs and saves: weights, peak memory and time of a training step.

    python -m benchmarks run checkpoint_policies --out DIR [--profile cpu|cpu-smoke] [--repeats ROUNDS]

One CPU rank, random volumes in memory. The weights of three steps are hashed and the peak memory is read in a fresh
process for each policy and precision, times of all of them in one process. Either way a round takes every one of them
once, in an order of its own; five rounds unless ``--repeats`` says otherwise.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.allocated import fresh_processes, peak_allocation
from benchmarks.harness import Measured, Options, Series, Target, interleave, ratio
from benchmarks.one_step import make_step
from benchmarks.report import number, table
from benchmarks.resident import forget_peak, peak_bytes, resident_bytes
from dcam_dist.config import Config, load_config
from dcam_dist.models import build_network
from dcam_dist.models.checkpointing import POLICIES, use_deepspeed

Name = tuple[str, str]
"""Policy and precision."""
PRECISIONS = ("fp32", "bf16")
STEPS = 3
CASES = 2
GRID, SMOKE_GRID = (32, 64, 64), (16, 16, 16)
FILTERS, SMOKE_FILTERS = 16, 4


def checkpoint_policies(options: Options) -> Measured:
    """Every policy in every precision."""
    # importing DeepSpeed in a process for each round is most of a tiny run
    with_deepspeed = not options.smoke and _deepspeed() is not None
    policies = [name for name in POLICIES if name != "deepspeed" or with_deepspeed]
    names = [(policy, precision) for precision in PRECISIONS for policy in policies]
    configs = {name: _config(options, *name) for name in names}
    alone = _in_fresh_processes(configs, options)
    if with_deepspeed:
        _register_deepspeed()
    steps = {_label(*name): make_step(build_network(configs[name]), configs[name], CASES) for name in names}
    timed = interleave(steps, options.repeats, options.seed)
    use_deepspeed(None)
    allocated = {n: Series(f"{_label(*n)}: allocated", "MiB", tuple(one.allocated for one in alone[n])) for n in names}
    resident = {n: Series(f"{_label(*n)}: resident", "MiB", tuple(one.resident for one in alone[n])) for n in names}
    different = [n for n in names if {one.weights for one in alone[n]} != {alone["none", n[1]][0].weights}]
    first = configs[names[0]]
    return Measured(
        title="Activation checkpointing: weights, peak memory and step time",
        config={
            "grid": first.grid.shape,
            "filters": first.network.filters,
            "cases a step": CASES,
            "threads": torch.get_num_threads(),
        },
        series=(*allocated.values(), *resident.values(), *timed.values()),
        targets=(
            Target(Series("policies that make other weights", "policies", (float(len(different)),)), 0.0, "at_most"),
        ),
        notes=(
            f"Weights: SHA-256 of parameters and buffers after {STEPS} steps of SGD, against `none` of that precision.",
            "Allocated: the most that a step's tensors held at once above what there was before, by torch's profiler.",
            "Resident: of a fresh process, its highest in these steps above what it had before them; with gradients,"
            " momentum, the library's own buffers and what the allocator keeps.",
            "`offload` moves to main memory what a GPU keeps; on a CPU it is `block`.",
            *([] if "deepspeed" in policies else ["`deepspeed` was left out: not installed, or a tiny run."]),
        ),
        details={"sha256": {_label(*name): alone[name][0].weights for name in names}},
        tables={precision: _table(precision, policies, (allocated, resident), timed) for precision in PRECISIONS},
    )


def _table(
    precision: str, policies: list[str], memory: tuple[dict[Name, Series], ...], timed: dict[str, Series]
) -> str:
    rows = []
    for policy in policies:
        step, plain = timed[_label(policy, precision)], timed[_label("none", precision)]
        slower = ratio("", step, plain)
        rows.append(
            [
                policy,
                *(_with_share(peaks[policy, precision], peaks["none", precision]) for peaks in memory),
                f"{number(step.median)} s ({number(min(step.samples))} … {number(max(step.samples))})",
                f"{number(slower.median)} × ({number(min(slower.samples))} … {number(max(slower.samples))})",
            ]
        )
    heads = ["policy", "allocated, MiB", "resident, MiB", "step, median (range)", "of `none`, round by round"]
    return table(heads, rows)


def _with_share(peak: Series, plain: Series) -> str:
    return f"{number(peak.median)} ({number(peak.median / plain.median)} ×)"


def _label(policy: str, precision: str) -> str:
    return f"{precision}, {policy}"


def _config(options: Options, policy: str, precision: str) -> Config:
    grid, filters = (SMOKE_GRID, SMOKE_FILTERS) if options.smoke else (GRID, FILTERS)
    network = [f"network.checkpointing={policy}", f"network.precision={precision}", f"network.filters={filters}"]
    return load_config(None, [f"grid.shape={list(grid)}", f"seed={options.seed}", *network])


@dataclass(frozen=True)
class Alone:
    """What a fresh process finds: the weights' hash, MiB of tensors and MiB of the process."""

    weights: str
    allocated: float
    resident: float


def _in_fresh_processes(configs: Mapping[Name, Config], options: Options) -> dict[Name, list[Alone]]:
    names, rng = list(configs), np.random.default_rng(options.seed)
    alone: dict[Name, list[Alone]] = {name: [] for name in names}
    with fresh_processes() as pool:
        for _ in range(options.repeats):
            for name in (names[index] for index in rng.permutation(len(names))):
                alone[name].append(pool.apply(_weights_and_peaks, (configs[name], options.cores)))
    return alone


def _weights_and_peaks(config: Config, cores: int) -> Alone:
    torch.set_num_threads(cores)
    if config.network.checkpointing == "deepspeed":
        _register_deepspeed()
    step = make_step(build_network(config), config, CASES)
    forget_peak()
    before = resident_bytes()
    for _ in range(STEPS):
        state = step()
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    resident = (peak_bytes() - before) / 2**20
    return Alone(digest.hexdigest(), peak_allocation(step) / 2**20, resident)


def _register_deepspeed() -> None:
    deepspeed = _deepspeed()
    use_deepspeed(deepspeed.checkpointing.checkpoint if deepspeed else None)


def _deepspeed() -> Any:
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ImportError:
        return None
    return deepspeed
