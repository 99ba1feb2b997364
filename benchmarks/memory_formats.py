"""Time of a training step with features channels-first and channels-last, for both normalizations.

    python -m benchmarks run memory_formats --out DIR [--profile cpu|cpu-smoke] [--repeats ROUNDS]

One CPU rank, random volumes in memory, all contenders interleaved in one process. `memory_format_of` decides by it.
"""

from itertools import product

import torch

from benchmarks.harness import Measured, Options, Target, interleave, ratio
from benchmarks.one_step import make_step
from dcam_dist.config import load_config
from dcam_dist.models import ClusterNetwork, build_network
from dcam_dist.models.blocks import ConvNorm

FIRST, LAST = torch.contiguous_format, torch.channels_last_3d
NAMES = {FIRST: "channels-first", LAST: "channels-last"}
KINDS = tuple(product(("batch", "instance"), ("fp32", "bf16")))
CASES = 2
GRID, SMOKE_GRID = (16, 48, 64), (16, 16, 16)
FILTERS, SMOKE_FILTERS = 16, 4


def memory_formats(options: Options) -> Measured:
    """Every normalization and precision in both formats."""
    grid, filters = (SMOKE_GRID, SMOKE_FILTERS) if options.smoke else (GRID, FILTERS)
    steps = {}
    for (norm, precision), memory_format in product(KINDS, NAMES):
        network = [f"network.norm={norm}", f"network.precision={precision}", f"network.filters={filters}"]
        config = load_config(None, [f"grid.shape={list(grid)}", f"seed={options.seed}", *network])
        built = _in_format(build_network(config), memory_format)
        steps[f"{norm}, {precision}, {NAMES[memory_format]}"] = make_step(built, config, CASES)
    timed = interleave(steps, options.repeats, options.seed)
    speedups = [
        ratio(f"{norm}, {precision}: first / last", *(timed[f"{norm}, {precision}, {NAMES[f]}"] for f in (FIRST, LAST)))
        for norm, precision in KINDS
    ]
    return Measured(
        title="Training step with features channels-first and channels-last",
        config={"grid": grid, "filters": filters, "cases a step": CASES, "threads": torch.get_num_threads()},
        series=tuple(timed.values()),
        targets=tuple(Target(one, 1.0, "at_least") for one in speedups),
        notes=("Parameters are contiguous in both; the convolutions bring them and the input to the format.",),
    )


def _in_format(network: ClusterNetwork, memory_format: torch.memory_format) -> ClusterNetwork:
    for module in network.modules():
        if isinstance(module, ConvNorm):
            module.memory_format = lambda device_type: memory_format
    return network
