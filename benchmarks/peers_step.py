"""A training step of the proposed network beside what one would use instead, interleaved in one process.

    python -m benchmarks run peers_step --out DIR [--profile cpu|a100|h100|cpu-smoke]

Ours as the trainer runs it (engine, global batch normalization, bf16 where the machine is made for it), the network of
torch.nn's modules, and MONAI's U-Nets with as many parameters: in float32 on a CPU, on a card under autocast to
bfloat16, as MONAI's documentation advises. All take the same volumes and masks, pool over the lungs, and take one step
of SGD.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Measured, Options, Series, Target, interleave, ratio
from benchmarks.machine_peaks import synchronize
from benchmarks.peers import absent, find
from benchmarks.plain_unet import PlainUNet
from benchmarks.report import number, table
from dcam_dist.config import Config, load_config
from dcam_dist.distributed import build_engine, open_processes
from dcam_dist.models import build_network, choose_precision, count_parameters
from dcam_dist.models.device_kind import as_if_on
from dcam_dist.models.pooling import pool_over_lungs
from dcam_dist.planning.step_memory import make_inputs

EDGES = {"cpu-smoke": 32, "cpu": 64, "a100": 128, "h100": 128}
H100_TFLOPS = 120
FILTERS, SMOKE_FILTERS = 32, 4
AUTO, FP32, EAGER = "ours, precision auto", "ours, fp32", "torch.nn, the same network, eager"
BASIC, UNET = "MONAI BasicUNet", "MONAI UNet (residual)"
WIDE = "MONAI BasicUNet, as many operations"
Step = Callable[[], object]
Build = Callable[[], nn.Module]


def peers_step(options: Options) -> Measured:
    """Everybody's step."""
    config = _config(options)
    steps: dict[str, Step] = {}
    sizes: dict[str, int] = {}
    work: dict[str, int] = {}
    with open_processes() as context:
        device = context.device
        chosen = choose_precision(config.network.model_copy(update={"precision": "auto"}), device)
        inputs = tuple(one.to(device) for one in make_inputs(config, 1))
        for name, precision in ((AUTO, chosen.precision), (FP32, "fp32")):
            own = config.model_copy(update={"network": config.network.model_copy(update={"precision": precision})})
            engine = build_engine(build_network(own), own.training, own.network, context)
            sizes[name], steps[name] = count_parameters(engine.network), _ours(engine, inputs)
            work[name] = _operations(partial(build_network, own), config)
        for name, build in _peers(config, sizes[FP32]).items():
            network = build().to(device)
            sizes[name], steps[name] = count_parameters(network), _theirs(network, inputs)
            work[name] = _operations(build, config)
        timed = interleave(steps, options.repeats, options.seed)
    on_card = device.startswith("cuda")
    row = 7 if on_card else 5
    ratios = {
        name: ratio(f"{row}: {name} / {AUTO}", timed[name], timed[AUTO]) for name in steps if name not in (AUTO, FP32)
    }
    bounds = {EAGER: 1.0 if on_card or not _has_amx() else 2.5, BASIC: 1.3 if on_card else 2.0}
    return Measured(
        title="A training step beside what one would use instead",
        config={"edge": config.grid.shape[0], "cases": 1, "threads": torch.get_num_threads(), "device": device},
        series=tuple(timed.values()),
        targets=(
            *(Target(one, bounds.get(name, bounds[BASIC]), "at_least") for name, one in ratios.items()),
            *([Target(_rate(timed[AUTO], work), H100_TFLOPS, "at_least")] if options.profile == "h100" else []),
        ),
        notes=(
            f"{AUTO}: {chosen.reason}.",
            f"The others: {'under autocast to bfloat16' if on_card else 'float32'}.",
            "The peers have as many parameters, which is not as much work: at the full resolution they have fewer "
            "channels. One has as many operations instead, as near as its widths come to it.",
            *([] if find("monai") else [absent("MONAI")]),
        ),
        details={"parameters": sizes, "operations": work},
        tables={"Step": _table(timed, sizes, work)},
    )


def _config(options: Options) -> Config:
    edge, filters = EDGES[options.profile], SMOKE_FILTERS if options.smoke else FILTERS
    return load_config(None, [f"grid.shape={[edge] * 3}", f"network.filters={filters}", "training.batch_size=1"])


def _ours(engine: Any, inputs: tuple[Tensor, ...]) -> Step:
    volume, mask, target = inputs

    def step() -> None:
        engine.network.train()
        engine.backward(F.cross_entropy(engine.forward(volume, mask), target))
        engine.step()
        synchronize(str(volume.device))

    return step


def _theirs(network: nn.Module, inputs: tuple[Tensor, ...]) -> Step:
    volume, mask, target = inputs
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-5)
    network.train()

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=volume.is_cuda):
            loss = F.cross_entropy(network(volume, mask), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        synchronize(str(volume.device))

    return step


def _operations(build: Build, config: Config) -> int:
    """Of a step's convolutions, a multiplication and an addition being two; without the overlap of a CPU's halves."""
    with FakeTensorMode(), as_if_on("cuda"):
        network, (volume, mask, target) = build().train(), make_inputs(config, 1)
        with FlopCounterMode(display=False) as counter:
            F.cross_entropy(network(volume, mask), target).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def _rate(ours: Series, work: dict[str, int]) -> Series:
    return Series(f"7: {AUTO}", "TFLOP/s", tuple(work[AUTO] / seconds / 1e12 for seconds in ours.samples))


def _table(timed: dict[str, Series], sizes: dict[str, int], work: dict[str, int]) -> str:
    rows = []
    for name, series in timed.items():
        spread = f"{number(min(series.samples))} … {number(max(series.samples))}"
        rate = f"{number(work[name] / series.median / 1e12)}"
        size, operations = f"{sizes[name] / 1e6:.2f} M", f"{work[name] / 1e12:.3f}"
        rows.append([name, f"{number(series.median)} s", spread, size, operations, rate])
    return table(["", "median", "lowest … highest", "parameters", "10¹² operations", "TFLOP/s"], rows)


def _peers(config: Config, parameters: int) -> dict[str, Build]:
    f, classes, monai = config.network.filters, config.classes, find("monai.networks.nets")

    def eager() -> nn.Module:
        return PlainUNet(f, classes, dtype=None, norm="batch", recompute=False)

    peers: dict[str, Build] = {EAGER: eager}
    if monai is None:
        return peers

    def basic(width: int) -> nn.Module:
        features = (width, width, 2 * width, 4 * width, 8 * width, width)
        return _Pooled(monai.BasicUNet(3, 1, 2 * f, features=features, norm="batch"), 2 * f, classes)

    def residual(width: int) -> nn.Module:
        channels = tuple(width * 2**level for level in range(4))
        return _Pooled(monai.UNet(3, 1, 2 * f, channels, (2, 2, 2), num_res_units=2, norm="batch"), 2 * f, classes)

    def as_many(width: int) -> int:
        return abs(_operations(partial(basic, width), config) - _operations(eager, config))

    wide = partial(basic, min(range(8, 97, 8), key=as_many))
    return peers | {BASIC: _matched(basic, parameters), UNET: _matched(residual, parameters), WIDE: wide}


class _Pooled(nn.Module):
    """A dense network with the head on the lung mean of its features."""

    def __init__(self, dense: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.dense, self.head = dense, nn.Linear(channels, classes)

    def forward(self, volume: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.head(pool_over_lungs(self.dense(volume), mask))
        return logits


def _matched(build: Callable[[int], nn.Module], parameters: int) -> Build:
    """Builds the network whose parameters come nearest."""

    def off(width: int) -> int:
        with torch.device("meta"):
            return abs(count_parameters(build(width)) - parameters)

    return partial(build, min(range(2, 129, 2), key=off))


def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())
