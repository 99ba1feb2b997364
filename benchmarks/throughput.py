"""How fast a training step and an extraction are, part by part, and what they are bound by.

    python -m benchmarks run throughput --out DIR [--profile cpu|a100|h100|cpu-smoke]

One rank, volumes in memory. Operations are counted on shapes (`dcam_dist.planning.work`); the machine's own matrix peak
and copy bandwidth are timed in the same run. With DCAM_TRACE=FOLDER in the environment, torch's profiler leaves a trace
of one step of each contender there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.harness import Measured, Options, Series
from benchmarks.machine_peaks import Peaks, machine_peaks, seconds_on
from benchmarks.report import number, table
from benchmarks.throughput_figure import Point, draw_roofline
from dcam_dist.config import Config, load_config
from dcam_dist.distributed import Engine, build_engine, open_processes
from dcam_dist.models import build_network
from dcam_dist.planning.step_memory import make_inputs
from dcam_dist.planning.work import Work, work_of_a_case

PAPER = Path(__file__).parents[1] / "configs" / "paper.yaml"
EDGES = {"cpu-smoke": 16, "cpu": 64, "a100": 128, "h100": 128}
PRECISIONS = ("fp32", "bf16")
POLICIES = ("none", "block")
PARTS = ("forward", "backward", "optimizer", "extraction")


@dataclass
class _Contender:
    engine: Engine
    inputs: tuple[Tensor, ...]
    work: Work
    seconds: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})


def throughput(options: Options) -> Measured:
    """Every precision and policy."""
    edge = EDGES[options.profile]
    configs = {f"{p}, {policy}": _config(options, edge, p, policy) for p in PRECISIONS for policy in POLICIES}
    with open_processes() as context:
        device = context.device
        peaks = {precision: machine_peaks(device, _dtype(precision)) for precision in PRECISIONS}
        contenders = {}
        for name, config in configs.items():
            engine = build_engine(build_network(config), config.training, config.network, context)
            inputs = tuple(one.to(device) for one in make_inputs(config, 1))
            contenders[name] = _Contender(engine, inputs, work_of_a_case(config, "cuda" if device != "cpu" else "cpu"))
        _take_turns(contenders, options.repeats, device)
        _trace(contenders)
    return Measured(
        title="Throughput of a training step and an extraction",
        config={"edge": edge, "filters": configs["fp32, none"].network.filters, "device": device.partition(":")[0]},
        series=tuple(one for name, contender in contenders.items() for one in _series(name, contender, edge)),
        notes=(
            "Operations: the convolutions', with those that a checkpoint computes again. Bytes: what operators read "
            "and write, unfused; what stays in a cache is counted as moved. The peaks are torch's own product and "
            "copy: on a CPU oneDNN's convolutions can do better than its products.",
            "Not in a step alone: [how long training waits for volumes](../stall/stall.md), and [what the ranks send "
            "each other](../scaling/scaling.md).",
            *(
                f"{precision}: matrix products of this machine reach {number(peak.flops / 1e12)} TFLOP/s, copies "
                f"{number(peak.copy / 1e9)} GB/s (read and written together), the best of a few."
                for precision, peak in peaks.items()
            ),
        ),
        tables={"Parts": _table(contenders, peaks, edge)},
        figures={"roofline.png": partial(draw_roofline, peaks["fp32"], peaks["bf16"], _points(contenders))},
    )


def _config(options: Options, edge: int, precision: str, policy: str) -> Config:
    network = [f"network.precision={precision}", f"network.checkpointing={policy}"]
    small = ["network.filters=4"] if options.smoke else []
    return load_config(PAPER, [f"grid.shape={[edge] * 3}", "training.batch_size=1", *network, *small])


def _dtype(precision: str) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _take_turns(contenders: dict[str, _Contender], rounds: int, device: str) -> None:
    """One round of each to warm up, then so many that count."""
    for round_ in range(-1, rounds):
        for one in contenders.values():
            taken = dict(zip(PARTS, _step(one, device), strict=True))
            for part, seconds in taken.items() if round_ >= 0 else ():
                one.seconds[part].append(seconds)


def _step(one: _Contender, device: str) -> list[float]:
    volume, mask, target = one.inputs
    network = one.engine.network.train()
    losses: list[Tensor] = []

    def forward() -> None:
        losses.append(F.cross_entropy(one.engine.forward(volume, mask), target))

    def extract() -> None:
        with torch.no_grad():
            network.eval().pooled_features(volume, mask)

    parts: tuple[Callable[[], object], ...] = (
        forward,
        lambda: one.engine.backward(losses[0]),
        one.engine.step,
        extract,
    )
    return [seconds_on(device, part) for part in parts]


def _series(name: str, one: _Contender, edge: int) -> list[Series]:
    step = [sum(parts) for parts in zip(*(one.seconds[part] for part in PARTS[:3]), strict=True)]
    return [
        *(Series(f"{name}: {part}", "s", tuple(samples)) for part, samples in one.seconds.items()),
        Series(f"{name}: training", "voxels/s", tuple(edge**3 / seconds for seconds in step)),
        Series(f"{name}: volumes", "volumes/s", tuple(1 / seconds for seconds in step)),
        Series(f"{name}: training rate", "TFLOP/s", tuple(one.work.train / seconds / 1e12 for seconds in step)),
        Series(
            f"{name}: extraction rate",
            "TFLOP/s",
            tuple(one.work.extract / seconds / 1e12 for seconds in one.seconds["extraction"]),
        ),
    ]


def _table(contenders: dict[str, _Contender], peaks: dict[str, Peaks], edge: int) -> str:
    rows = []
    for name, one in contenders.items():
        found = {series.name.removeprefix(f"{name}: "): series.median for series in _series(name, one, edge)}
        share = found["training rate"] * 1e12 / peaks[name.partition(",")[0]].flops
        parts = [f"{number(found[part])} s" for part in PARTS]
        moved = one.work.moved * found["training"] / edge**3 / peaks[name.partition(",")[0]].copy
        rates = [f"{found['training'] / 1e6:.3f} M", number(found["training rate"]), f"{share:.0%}", f"{moved:.0%}"]
        rows.append([name, *parts, *rates])
    return table(["", *PARTS, "voxels/s in training", "TFLOP/s", "of the matrix peak", "of the copy bandwidth"], rows)


def _points(contenders: dict[str, _Contender]) -> list[Point]:
    """Operations for each byte that operators read and write, unfused."""
    points = []
    for name, one in contenders.items():
        seconds = sum(sorted(one.seconds[part])[len(one.seconds[part]) // 2] for part in PARTS[:3])
        points.append(Point(name, one.work.train / one.work.moved, one.work.train / seconds))
    return points


def _trace(contenders: dict[str, _Contender]) -> None:
    folder = os.environ.get("DCAM_TRACE")
    if folder is None:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, one in contenders.items():
        device = str(one.inputs[0].device)
        with torch.profiler.profile() as profiler:
            _step(one, device)
        profiler.export_chrome_trace(str(Path(folder, f"{name.replace(', ', '-')}.json")))
