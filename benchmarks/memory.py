"""What a training step holds in memory, by size, filters, batch, precision, checkpointing, normalization and engine.

Predicted for a GPU from the shapes of all tensors alone (`dcam_dist.planning.step_memory`), and compared with what real
steps allocate where they can be run. Beside it the network as most would write it: modules of torch.nn under autocast.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.allocated import allocated_by_step
from benchmarks.harness import Measured, Options, Series, Target
from benchmarks.memory_figure import draw_sizes
from benchmarks.plain_unet import PlainUNet
from benchmarks.report import number, table
from dcam_dist.config import Config, load_config
from dcam_dist.planning.fits import EDGE, cubed, largest, largest_cube, with_cube
from dcam_dist.planning.gpus import GPUS
from dcam_dist.planning.step_memory import StepMemory, predict_step, predict_step_of

PAPER = Path(__file__).parents[1] / "configs" / "paper.yaml"
EDGES, SMOKE_EDGES = (64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384), (32, 48)
POLICIES = ("none", "block", "conv", "offload")
PLAIN = "torch.nn under autocast, checkpoint per block"
CARD = "a100-40"
GIB = 2**30
Peaks = dict[str, list[float]]
"""GiB by size, by policy."""
VARIED = (
    ("filters", ("network.filters=16", "network.filters=32", "network.filters=48")),
    ("cases", ("training.batch_size=1", "training.batch_size=2", "training.batch_size=4")),
    ("precision", ("network.precision=fp32", "network.precision=bf16")),
    ("normalization", ("network.norm=batch", "network.norm=instance")),
    ("method", ("method=dcam", "method=baseline")),
    ("optimizer", ("training.optimizer.name=sgd", "training.optimizer.name=adam")),
)
CHECKED = (
    ("fp32, none", ("network.precision=fp32", "network.checkpointing=none")),
    ("fp32, block", ("network.precision=fp32", "network.checkpointing=block")),
    ("bf16, none", ("network.precision=bf16", "network.checkpointing=none")),
    ("bf16, block", ("network.precision=bf16", "network.checkpointing=block")),
    ("bf16, conv", ("network.precision=bf16", "network.checkpointing=conv")),
    ("bf16, block, instance", ("network.precision=bf16", "network.checkpointing=block", "network.norm=instance")),
)


def memory(options: Options) -> Measured:
    """All of it."""
    edges = SMOKE_EDGES if options.smoke else EDGES
    budget = GIB if options.smoke else GPUS[CARD].tensor_bytes
    peaks: Peaks = {policy: [_peak(options, policy, edge).peak / GIB for edge in edges] for policy in POLICIES}
    peaks[PLAIN] = [_plain_peak(options, edge).peak / GIB for edge in edges]
    cubes = {policy: largest_cube(_config(options, policy), budget) for policy in POLICIES}
    cubes[PLAIN] = EDGE * largest(lambda size: _plain_peak(options, EDGE * size).peak, budget, cubed)
    checks = _checked(options)
    return Measured(
        title="Memory of a training step",
        config={"edges": edges, "filters": _config(options, "none").network.filters, "card": CARD},
        series=(*_series(edges, peaks, cubes), *(one for pair in checks.values() for one in pair)),
        targets=(Target(_gain(cubes), 1.5, "at_least"), Target(_worst(checks), 0.1, "at_most")),
        notes=_notes(options, budget),
        details={"largest_cube": cubes},
        tables={
            "Peak by size, GiB": _sizes(edges, peaks),
            f"Largest cube on {CARD}": _largest(cubes),
            "One thing changed, 128³, checkpoint per block": _varied(options),
            "Predicted against allocated on this CPU": _checks(checks),
        },
        figures={"memory.png": partial(draw_sizes, edges, peaks, budget / GIB)},
    )


def _series(edges: tuple[int, ...], peaks: Peaks, cubes: dict[str, int]) -> Iterator[Series]:
    for name, values in peaks.items():
        for edge, value in zip(edges, values, strict=True):
            yield Series(f"{name}, {edge}³: peak", "GiB", (value,))
        yield Series(f"{name}: peak a voxel", "B/voxel", (values[-1] * GIB / edges[-1] ** 3,))
        yield Series(f"{name}: largest cube", "voxels", (float(cubes[name] ** 3),))


def _gain(cubes: dict[str, int]) -> Series:
    ratio = (cubes["block"] / max(1, cubes[PLAIN])) ** 3
    return Series("6: voxels that fit, ours / torch.nn under autocast, a checkpoint per block in both", "×", (ratio,))


def _notes(options: Options, budget: int) -> tuple[str, ...]:
    return (
        f"Predicted for a GPU: {_config(options, 'none').network.filters} filters, bf16, batch normalization, SGD, "
        "one case, one rank, DDP.",
        f"{CARD}: {GPUS[CARD].memory_gib:g} GiB, of which {budget / GIB:.1f} GiB for tensors; the rest is kept for the "
        "context, libraries and what the allocator rounds up. Not measured on a GPU.",
        "Checks: fresh processes on this CPU, most bytes allocated at once in a step by torch's profiler, against the "
        "prediction laid out for a CPU.",
    )


def _config(options: Options, policy: str, *more: str) -> Config:
    small = ["network.filters=4"] if options.smoke else []
    return load_config(PAPER, [f"network.checkpointing={policy}", "training.batch_size=1", *small, *more])


def _peak(options: Options, policy: str, edge: int) -> StepMemory:
    return predict_step(with_cube(_config(options, policy), edge), 1, "cuda")


def _plain_peak(options: Options, edge: int) -> StepMemory:
    config = with_cube(_config(options, "block"), edge)
    return predict_step_of(partial(_plain, config), config, 1, "cuda")


def _plain(config: Config) -> tuple[nn.Module, torch.optim.Optimizer]:
    settings = config.network
    network = PlainUNet(settings.filters, config.classes, dtype=torch.bfloat16, norm=settings.norm, recompute=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for parameter in network.parameters():
        optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}
    return network, optimizer


def _checked(options: Options) -> dict[str, tuple[Series, Series]]:
    edge = 32 if options.smoke else 64
    found = {}
    for name, settings in CHECKED[:1] if options.smoke else CHECKED:
        config = with_cube(
            _config(options, "none", *settings, "network.filters=8" if options.smoke else "network.filters=16"), edge
        )
        expected = predict_step(config, 1, "cpu")
        own = expected.retained + expected.working
        found[name] = (
            Series(f"{name}: predicted", "MiB", (own / 2**20,)),
            Series(f"{name}: allocated", "MiB", tuple(allocated_by_step(config, options.repeats, options.cores))),
        )
    return found


def _worst(checks: dict[str, tuple[Series, Series]]) -> Series:
    off = tuple(abs(expected.median / real.median - 1) for expected, real in checks.values())
    return Series("predicted / allocated − 1, the worst of all checks", "×", (max(off),))


def _varied(options: Options) -> str:
    rows, edge = [], 32 if options.smoke else 128
    for what, settings in VARIED:
        for setting in settings:
            config = with_cube(_config(options, "block", setting), edge)
            found = predict_step(config, config.training.batch_size, "cuda")
            voxels = config.training.batch_size * edge**3
            rows.append(
                [
                    what,
                    setting,
                    *(number(part / GIB) for part in (found.peak, found.retained)),
                    f"{found.peak / voxels:.0f}",
                ]
            )
    return table(["", "setting", "peak, GiB", "retained, GiB", "peak, bytes a voxel"], rows)


def _sizes(edges: tuple[int, ...], peaks: Peaks) -> str:
    rows = [[f"{edge}³", *(number(values[at]) for values in peaks.values())] for at, edge in enumerate(edges)]
    return table(["", *peaks], rows)


def _largest(cubes: dict[str, int]) -> str:
    return table(["", "edge", "voxels"], [[name, f"{edge}³", f"{edge**3 / 1e6:.1f} M"] for name, edge in cubes.items()])


def _checks(checks: dict[str, tuple[Series, Series]]) -> str:
    rows = [
        [name, number(a.median), number(b.median), f"{a.median / b.median - 1:+.1%}"] for name, (a, b) in checks.items()
    ]
    return table(["", "predicted, MiB", "allocated, MiB", "difference"], rows)
