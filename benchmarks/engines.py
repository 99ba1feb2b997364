"""DDP and DeepSpeed's ZeRO 0, 1 and 2 side by side: losses, step time, and the memory of a rank.

    python -m benchmarks run engines --out benchmarks/results/engines

Two ranks over gloo on this machine, random volumes: no store is in the figures.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness import Measured, Options, Series, Target, ratio
from benchmarks.launched import run_ranks
from benchmarks.report import table

RANKS = 2
STEPS, SMOKE_STEPS = 10, 2
GRID, SMOKE_GRID = (32, 32, 32), (16, 16, 16)
FILTERS, SMOKE_FILTERS = 8, 2
ENGINES = {"DDP": None, "ZeRO 0": 0, "ZeRO 1": 1, "ZeRO 2": 2}
TOLERANCE = 1e-5
OPTIMIZERS = {
    "SGD": ["training.optimizer.lr=0.01"],
    "Adam": ["training.optimizer.name=adam", "training.optimizer.lr=0.001", "training.optimizer.head_lr=0.005"],
}


def engines(options: Options) -> Measured:
    """Every engine with both optimizers, on the same two ranks."""
    told = _told(options)
    seconds = {name: _series(f"{name}: a step", one) for name, one in told["seconds"].items()}
    targets, ratios = [], []
    for optimizer in OPTIMIZERS:
        first, *others = (f"{optimizer}, {engine}" for engine in ENGINES)
        targets += [_difference(name, first, told["losses"]) for name in others]
        ratios += [ratio(f"{name} / DDP: a step", seconds[name], seconds[first]) for name in others]
    grid, filters, steps = _sizes(options)
    sizes = {"grid": grid, "filters": filters, "batch": 4, "steps": steps, "parameters": told["parameters"]}
    return Measured(
        title="DDP and DeepSpeed's ZeRO side by side",
        config={"ranks": RANKS, **sizes},
        series=(*seconds.values(), *ratios, *_memory(told)),
        targets=tuple(targets),
        notes=(
            "The loss of a step is the mean over the ranks, before its update; the volumes are the same for all.",
            "The state of an optimizer is what a rank keeps of it on average; from ZeRO 1 on a rank also keeps a "
            "second copy of its part of the parameters.",
            "Held: tensors that stay between steps, with the parameters, gradients, buckets and the optimizer's state, "
            "as far as Python can see them. A step: the most that its tensors held at once above that, on rank 0.",
            "Times are of further steps, the engines in turn; on a GPU or a network they would be others.",
        ),
        details=told,
        tables={optimizer: _table(optimizer, told, seconds) for optimizer in OPTIMIZERS},
    )


def _difference(name: str, first: str, losses: Mapping[str, Sequence[float]]) -> Target:
    largest = max(abs(one - other) for one, other in zip(losses[name], losses[first], strict=True))
    return Target(Series(f"{name}: largest difference of a loss to DDP's", "", (largest,)), TOLERANCE, "at_most")


def _table(optimizer: str, told: Mapping[str, Any], seconds: Mapping[str, Series]) -> str:
    rows = [
        [
            name,
            f"{seconds[name].median:.3f} s",
            *(f"{told[what][name] / 1e6:.3f} MB" for what in ("state_bytes", "held_bytes", "step_bytes")),
            " ".join(f"{loss:.6f}" for loss in told["losses"][name]),
        ]
        for name in (f"{optimizer}, {engine}" for engine in ENGINES)
    ]
    return table([optimizer, "median step", "state of a rank", "held", "a step", "losses"], rows)


def _memory(told: Mapping[str, Any]) -> Iterator[Series]:
    for what, key in (("held between steps", "held_bytes"), ("a step's tensors at once", "step_bytes")):
        for name, found in told[key].items():
            yield Series(f"{name}: {what}", "MB", (found / 1e6,))


def _deepspeed(options: Options, stage: int) -> list[str]:
    file = options.scratch / f"zero{stage}.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": stage}}), encoding="utf-8")
    return ["training.engine=deepspeed", f"training.deepspeed_config={file}"]


def _series(name: str, told: dict[str, Any]) -> Series:
    return Series(name, "s", tuple(told["samples"]), tuple(told["cpu_s"]))


def _sizes(options: Options) -> tuple[tuple[int, int, int], int, int]:
    return (SMOKE_GRID, SMOKE_FILTERS, SMOKE_STEPS) if options.smoke else (GRID, FILTERS, STEPS)


def _told(options: Options) -> dict[str, Any]:
    grid, filters, steps = _sizes(options)
    out = options.scratch / "told.json"
    settings = [f"grid.shape={list(grid)}", f"network.filters={filters}", f"seed={options.seed}"]
    program = ["benchmarks.engine_steps", str(out), *settings, f"--steps={steps}", f"--repeats={options.repeats}"]
    for optimizer, own in OPTIMIZERS.items():
        for engine, stage in ENGINES.items():
            chosen = [] if stage is None else _deepspeed(options, stage)
            program += ["--engine", f"{optimizer}, {engine}", *own, *chosen]
    run_ranks(program, RANKS)
    told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return told
