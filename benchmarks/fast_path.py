"""What the fast path's choices are worth on a CPU: small volumes in halves, slabs, compiled passes; a step's profile.

    python -m benchmarks run fast_path --out DIR [--profile cpu|cpu-smoke] [--repeats ROUNDS]

Each choice beside what it replaced, in turns in one process, one case in memory. `benchmarks/notes.md` says what was
expected of them, and what else was tried.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.harness import Measured, Options, Series, Target, interleave, ratio
from benchmarks.one_step import make_step
from benchmarks.report import number, table
from dcam_dist.config import Config, load_config
from dcam_dist.models import ClusterNetwork, build_network, convolution, passes
from dcam_dist.planning.fits import with_cube
from dcam_dist.planning.step_memory import make_inputs

CONFIGS = Path(__file__).parents[1] / "configs"
EDGE, SMOKE_EDGE = 64, 16
FILTERS, SMOKE_FILTERS = 16, 4
SLABS = (17, 18, 19, 20, 21)
CHOSEN = 19
VOLUMES = ((8, 16, (32, 48, 64)), (32, 32, (16, 24, 32)), (64, 64, (8, 12, 16)), (1, 8, (32, 48, 64)))
"""Channels in and out, and shape; all of a size that torch unfolds."""
UNFOLDED, HALVES = "as torch chooses", "in halves"
Call = Callable[[], object]


def fast_path(options: Options) -> Measured:
    """Every choice, and a profile of a step."""
    demo, cube = _demo(options), _cube(options)
    whole = _interleaved(_small_volumes(build_network(demo), demo), options)
    step = make_step(build_network(cube), cube, 1)
    slabs = interleave({_slab(power): _with_slab(power, step) for power in SLABS}, options.repeats, options.seed)
    compiled = interleave({"eager": step, "compiled": _compiled(cube)}, options.repeats, options.seed)
    parts = {name: one for size in VOLUMES for name, one in _interleaved(_convolutions(size), options).items()}
    gains = [_gain(whole, what) for what in ("step", "extraction")]
    return Measured(
        title="The fast path's choices on a CPU",
        config={"demo grid": demo.grid.shape, "cube": cube.grid.shape, "filters": cube.network.filters},
        series=(*whole.values(), *parts.values(), *slabs.values(), *compiled.values()),
        targets=tuple(Target(one, 1.0, "at_least") for one in gains),
        notes=(
            "Demo: `configs/demo.yaml` in float32, one case. Slabs, compiled passes and the profile: "
            "`configs/paper.yaml` on the cube in bf16, no checkpointing, one case.",
            f"Chosen: halves, slabs of 2^{CHOSEN} elements; `network.compile` is off unless asked for.",
        ),
        tables={
            "One small volume, × faster in halves": _gains_table(whole, parts),
            f"A step by slabs, of the speed of 2^{CHOSEN}": _ratios(slabs, _slab(CHOSEN)),
            "Passes by torch.compile, of the eager speed": _ratios(compiled, "eager"),
            "Where a step's time goes": _profile(step),
        },
    )


def _demo(options: Options) -> Config:
    small = ["grid.shape=[16,16,16]", "network.filters=4"] if options.smoke else []
    return load_config(CONFIGS / "demo.yaml", ["network.precision=fp32", *small])


def _cube(options: Options) -> Config:
    edge, filters = (SMOKE_EDGE, SMOKE_FILTERS) if options.smoke else (EDGE, FILTERS)
    network = [f"network.filters={filters}", "network.precision=bf16", "network.checkpointing=none"]
    return with_cube(load_config(CONFIGS / "paper.yaml", network), edge)


def _interleaved(calls: dict[str, Call], options: Options) -> dict[str, Series]:
    """Each call as torch chooses and in halves."""
    both = {f"{name}, {UNFOLDED}": _as_torch_chooses(call) for name, call in calls.items()}
    both |= {f"{name}, {HALVES}": call for name, call in calls.items()}
    return interleave(both, options.repeats, options.seed)


def _small_volumes(network: ClusterNetwork, config: Config) -> dict[str, Call]:
    volume_BCDHW, mask_BCDHW, _ = make_inputs(config, 1)
    step = make_step(network, config, 1)

    def train() -> None:
        network.train()
        step()

    @torch.no_grad()
    def extract() -> None:
        network.eval().pooled_features(volume_BCDHW, mask_BCDHW)

    return {"step": train, "extraction": extract}


def _convolutions(size: tuple[int, int, tuple[int, int, int]]) -> dict[str, Call]:
    inputs, outputs, shape = size
    x, weight = (torch.rand(*of, requires_grad=True) for of in ((1, inputs, *shape), (outputs, inputs, 3, 3, 3)))
    name = f"{inputs} → {outputs} channels of {'×'.join(map(str, shape))}"

    def backward() -> tuple[Tensor, ...]:
        y = convolution.convolve(x, weight)
        return torch.autograd.grad(y, (x, weight), y)

    return {f"{name}: forward": lambda: convolution.convolve(x, weight), f"{name}: forward and backward": backward}


def _as_torch_chooses(call: Call) -> Call:
    def plainly() -> object:
        with _replaced(convolution, "_is_unfolded", lambda x: False):
            return call()

    return plainly


def _with_slab(power: int, step: Call) -> Call:
    def sliced() -> object:
        with _replaced(passes, "_CPU_SLAB", 2**power):
            return step()

    return sliced


@contextmanager
def _replaced(module: object, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _compiled(config: Config) -> Call:
    compiled = config.network.model_copy(update={"compile": True})
    own = config.model_copy(update={"network": compiled})
    return make_step(build_network(own), own, 1)


def _slab(power: int) -> str:
    return f"slabs of 2^{power}"


def _gain(timed: dict[str, Series], name: str) -> Series:
    return ratio(f"{name}: {UNFOLDED} / {HALVES}", timed[f"{name}, {UNFOLDED}"], timed[f"{name}, {HALVES}"])


def _gains_table(whole: dict[str, Series], parts: dict[str, Series]) -> str:
    timed = whole | parts
    names = [name.removesuffix(f", {HALVES}") for name in timed if name.endswith(f", {HALVES}")]
    rows = [[name, *_spread(_gain(timed, name)), f"{1e3 * timed[f'{name}, {HALVES}'].median:.2f}"] for name in names]
    return table(["", "median", "lowest … highest", "n", "ms in halves"], rows)


def _ratios(timed: dict[str, Series], chosen: str) -> str:
    rows = [[name, *_spread(ratio(name, timed[chosen], one))] for name, one in timed.items() if name != chosen]
    return table(["", "median", "lowest … highest", "n"], rows)


def _spread(series: Series) -> list[str]:
    samples = series.samples
    return [number(series.median), f"{number(min(samples))} … {number(max(samples))}", str(len(samples))]


def _profile(step: Call) -> str:
    """Shares of the operators' own time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        step()
    events = sorted(profiler.key_averages(), key=lambda one: -one.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return table(["operator", "share"], [[e.key, f"{e.self_cpu_time_total / total:.1%}"] for e in events[:12]])
