"""How fast a machine does the work: measured where the plan is made, or a figure known of a card."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch.nn import functional as F

from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext, build_engine, open_processes
from dcam_dist.models import build_network
from dcam_dist.planning.fits import with_cube
from dcam_dist.planning.gpus import Gpu, this_machine
from dcam_dist.planning.step_memory import make_inputs, predict_step
from dcam_dist.planning.work import work_of_a_case

CALIBRATION_S = 20.0
"""About how long a machine is measured."""
EDGES = (32, 48, 64, 96, 128)
"""Of cubes that are tried before the configuration's own grid, which may take too long."""
LEAST_STEPS = 3


@dataclass(frozen=True)
class Pace:
    """Operations a second of one device.

    Attributes:
        extract: In a forward pass.
        train: In a training step.
        source: Where the figures come from.
    """

    extract: float
    train: float
    source: str


def known_pace(gpu: Gpu, config: Config) -> Pace | None:
    """What others have reached on a card; ``None`` where nothing is known, and for float32, which they did not use."""
    if gpu.tflops is None or config.network.precision == "fp32":
        return None
    return Pace(gpu.tflops * 1e12, gpu.tflops * 1e12, f"{gpu.source}; not measured here")


def measured_pace(config: Config, share: int = 1, seconds: float = CALIBRATION_S) -> Pace:
    """Run steps of the configuration's network on this process's device, on as much of its grid as the time allows.

    Args:
        config: Network, optimizer and grid.
        share: Cases of a step on one device.
        seconds: About how long it may take.
    """
    own = config.data.patch or config.grid.shape
    sizes = [with_cube(config, edge) for edge in EDGES if edge**3 < math.prod(own)] + [_on_own(config)]
    with open_processes() as context:
        started, pace, step_s, voxels = time.perf_counter(), None, 0.0, 1
        for index, at in enumerate(sizes):
            left = seconds - (time.perf_counter() - started)
            step_s *= math.prod(at.grid.shape) / voxels
            if pace is not None and (left < 2 * (LEAST_STEPS + 1) * step_s or not _fits(at, share, context.device)):
                break
            pace, step_s = _measured_on(at, context, share, left / (len(sizes) - index))
            voxels = math.prod(at.grid.shape)
    assert pace is not None  # noqa: S101
    return pace


def _fits(config: Config, share: int, device: str) -> bool:
    # a processor's memory is large beside what it computes in such a time
    return device == "cpu" or predict_step(config, share, "cuda").peak <= this_machine().tensor_bytes


def _on_own(config: Config) -> Config:
    if config.data.patch is None:
        return config
    patched = config.grid.model_copy(update={"shape": config.data.patch})
    return config.model_copy(update={"grid": patched, "data": config.data.model_copy(update={"patch": None})})


def _measured_on(config: Config, context: ProcessContext, share: int, seconds: float) -> tuple[Pace, float]:
    engine = build_engine(build_network(config), config.training, config.network, context)
    volume_BCDHW, mask_BCDHW, target_B = (one.to(context.device) for one in make_inputs(config, share))

    def train() -> None:
        engine.network.train()
        engine.backward(F.cross_entropy(engine.forward(volume_BCDHW, mask_BCDHW), target_B))
        engine.step()

    @torch.no_grad()
    def extract() -> None:  # one case at a time, as the trainer does
        engine.network.eval().pooled_features(volume_BCDHW[:1], mask_BCDHW[:1])

    step_s, work = _typical(train, context.device, seconds * 2 / 3), work_of_a_case(config)
    forward_s = _typical(extract, context.device, seconds / 3)
    size = "×".join(map(str, config.grid.shape))
    source = f"measured on this machine's {context.device}, {share} × {size} a step"
    return Pace(work.extract / forward_s, share * work.train / step_s, source), step_s


def _typical(work: Callable[[], None], device: str, seconds: float) -> float:
    """Median seconds of a call, the first one not counted."""
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) <= LEAST_STEPS or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - before)
    return median(taken[1:])
