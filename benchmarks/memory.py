"""What a training step holds in memory, by size, filters, batch, precision, checkpointing and normalization.

    python -m benchmarks run memory --out DIR [--profile cpu|a100|h100|cpu-smoke]

Predicted for a GPU from the shapes of all tensors alone (`dcam_dist.planning.step_memory`), and compared with what real
steps take: on this CPU, or on a card of which 40 GB may be used. Beside it the network as most would write it: modules
of torch.nn under autocast. What the engines add is measured by `engines`.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.harness import Measured, Options, Series, Target
from benchmarks.memory_checks import CAP_GB, checks_table, largest_that_ran, memory_checks, on_a_card, worst
from benchmarks.memory_figure import draw_sizes
from benchmarks.plain_unet import PlainUNet
from benchmarks.report import number, table
from dcam_dist.config import Config, load_config
from dcam_dist.planning.fits import EDGE, cubed, largest, largest_cube, with_cube
from dcam_dist.planning.gpus import GPUS
from dcam_dist.planning.plan import POLICIES as PLANNED
from dcam_dist.planning.step_memory import StepMemory, predict_step, predict_step_of

PAPER = Path(__file__).parents[1] / "configs" / "paper.yaml"
EDGES = (64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384)
CARD_EDGES, SMOKE_EDGES = (128, 192, 256), (32,)
"""Time on a card is for real steps; predictions are the same anywhere."""
RAN = ("none", "block")
POLICIES = ("none", "block", "conv", "offload")
PLAIN = "torch.nn under autocast, checkpoint per block"
CARD = "a100-40"
GIB = 2**30
Peaks = dict[str, list[float]]
"""GiB by size, by policy."""
VARIED = (
    ("filters", ("network.filters=16", "network.filters=48")),
    ("cases", ("training.batch_size=1", "training.batch_size=2", "training.batch_size=4")),
    ("precision", ("network.precision=fp32", "network.precision=bf16")),
    ("normalization", ("network.norm=batch", "network.norm=instance")),
    ("method", ("method=dcam", "method=baseline")),
    ("optimizer", ("training.optimizer.name=sgd", "training.optimizer.name=adam")),
)


def memory(options: Options) -> Measured:
    """All of it."""
    edges = SMOKE_EDGES if options.smoke else CARD_EDGES if on_a_card() else EDGES
    policies = POLICIES[:2] if options.smoke or on_a_card() else POLICIES
    budget = GIB // 8 if options.smoke else GPUS[CARD].tensor_bytes
    peaks: Peaks = {policy: [_peak(options, policy, edge).peak / GIB for edge in edges] for policy in policies}
    peaks[PLAIN] = [_plain_peak(options, edge).peak / GIB for edge in edges]
    cubes = {policy: largest_cube(_config(options, policy), budget) for policy in policies}
    cubes[PLAIN] = EDGE * largest(lambda size: _plain_peak(options, EDGE * size).peak, budget, cubed)
    checks = memory_checks(PAPER, options)
    ran = largest_that_ran({policy: (_config(options, policy), cubes[policy]) for policy in RAN}, options)
    return Measured(
        title="Memory of a training step",
        config={"edges": edges, "filters": _config(options, "none").network.filters, "card": CARD},
        series=(*_series(edges, peaks, cubes), *(one for check in checks for one in check.series)),
        targets=(Target(_gain(cubes), 1.5, "at_least"), Target(worst(checks), 0.1, "at_most")),
        notes=_notes(options, budget),
        details={"largest_cube": cubes, "largest_that_ran": ran},
        tables={
            "Peak by size, GiB": _sizes(edges, peaks, budget / GIB),
            f"Largest cube, predicted for {CARD}": _largest(cubes, ran),
            # predictions are the same anywhere, and time on a card is dear
            **({} if on_a_card() else {"One thing changed, 128³, checkpoint per block": _varied(options)}),
            f"Predicted against taken on this {'card' if on_a_card() else 'CPU'}": checks_table(checks),
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
    where = (
        f"Checks and what ran: fresh processes on the card of the last line, of which {CAP_GB} GB could be used. The "
        "network of torch.nn is predicted alone, there as well."
        if on_a_card()
        else "Not measured on a GPU. Checks: fresh processes on this CPU, against the prediction laid out for a CPU."
    )
    return (
        f"Predicted for a GPU: {_config(options, 'none').network.filters} filters, bf16, batch normalization, SGD, "
        "one case, one rank, DDP. The planner takes the first of none, conv, block, offload that fits.",
        f"{CARD}: {GPUS[CARD].memory_gib:g} GiB, of which {budget / GIB:.1f} GiB for tensors; the rest is kept for the "
        "context, libraries and what the allocator rounds up.",
        where,
        "Tensors: the most that the storages of a real step's tensors held at once above what was there before it. "
        "Allocated: the same by torch's allocator, with what oneDNN or cuDNN takes within an operator (in bf16 on a "
        "CPU it grows with the threads). Process: all that a fresh process grew by, libraries' buffers and the "
        "allocator's leftovers included, against all parts.",
        "Engines: [engines](../engines/engines.md) measures what DeepSpeed's ZeRO keeps of a rank's state.",
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


def _varied(options: Options) -> str:
    rows, edge = [], 32 if options.smoke else 128
    for what, settings in VARIED[1:2] if options.smoke else VARIED:
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


def _sizes(edges: tuple[int, ...], peaks: Peaks, budget: float) -> str:
    rows = []
    for at, edge in enumerate(edges):
        fits = next((policy for policy in PLANNED if policy in peaks and peaks[policy][at] <= budget), "nothing fits")
        rows.append([f"{edge}³", *(number(values[at]) for values in peaks.values()), fits])
    return table(["", *peaks, "the planner takes"], rows)


def _largest(cubes: dict[str, int], ran: dict[str, int]) -> str:
    measured = [f"ran on this card, of which {CAP_GB} GB could be used"] if ran else []
    rows = [
        [name, f"{edge}³", f"{edge**3 / 1e6:.1f} M", *(f"{ran[name]}³" if name in ran else "–" for _ in measured)]
        for name, edge in cubes.items()
    ]
    return table(["", "edge", "voxels", *measured], rows)
