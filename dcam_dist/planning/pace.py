"""How fast a machine does the work: measured where the plan is made, or a figure known of a card."""

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
from dcam_dist.planning.gpus import Gpu
from dcam_dist.planning.step_memory import make_inputs
from dcam_dist.planning.work import work_of_a_case

CALIBRATION_S = 20.0
"""About how long a machine is measured."""
CPU_EDGES, CUDA_EDGES = (32, 48, 64), (64, 96, 128)
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


def known_pace(gpu: Gpu) -> Pace | None:
    """What others have reached on a card; ``None`` where nothing is known."""
    return (
        None if gpu.tflops is None else Pace(gpu.tflops * 1e12, gpu.tflops * 1e12, f"{gpu.source}; not measured here")
    )


def measured_pace(config: Config, seconds: float = CALIBRATION_S) -> Pace:
    """Run steps of the configuration's network on this process's device, on the largest cube that the time allows."""
    with open_processes() as context:
        started = time.perf_counter()
        for edge in CUDA_EDGES if context.device.startswith("cuda") else CPU_EDGES:
            pace, step_s = _on_cube(with_cube(config, edge), context, (seconds - time.perf_counter() + started) / 2)
            if time.perf_counter() - started + 8 * LEAST_STEPS * 2 * step_s > seconds:
                break
        return pace


def _on_cube(config: Config, context: ProcessContext, seconds: float) -> tuple[Pace, float]:
    engine = build_engine(build_network(config), config.training, config.network, context)
    volume_BCDHW, mask_BCDHW, target_B = (one.to(context.device) for one in make_inputs(config, 1))

    def train() -> None:
        engine.network.train()
        engine.backward(F.cross_entropy(engine.forward(volume_BCDHW, mask_BCDHW), target_B))
        engine.step()

    @torch.no_grad()
    def extract() -> None:
        engine.network.eval().pooled_features(volume_BCDHW, mask_BCDHW)

    step_s = _typical(train, context.device, seconds / 2)
    forward_s, work = _typical(extract, context.device, seconds / 6), work_of_a_case(config)
    source = f"measured on this machine's {context.device}, {config.grid.shape[0]}³"
    return Pace(work.extract / forward_s, work.train / step_s, source), step_s


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
