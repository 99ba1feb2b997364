"""Time and peak memory of one training step, on a CUDA device if there is one, else on the CPU.

    python -m benchmarks.training_step --out FILE.json [--config configs/paper.yaml] [--steps 10] [key=value …]

One rank, random volumes in memory: neither the store nor other ranks are in the figure.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from dcam_dist.config import Config, load_config
from dcam_dist.distributed import Engine, build_engine, open_processes
from dcam_dist.models import build_network, parameter_counts
from dcam_dist.profiling import peak_memory_bytes

CONFIG = Path(__file__).parents[1] / "configs" / "paper.yaml"
WARM_UP = 3


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("settings", nargs="*", help="key=value")
    arguments = parser.parse_args()
    config = load_config(arguments.config, arguments.settings)
    result = measure(config, arguments.steps)
    arguments.out.write_text(json.dumps(result, indent=1))
    print(
        f"{result['device']}: median {result['median_s']:.3f} s a step of {config.training.batch_size} volumes "
        f"{list(config.grid.shape)} (n = {arguments.steps}), peak {result['peak_memory_bytes'] / 2**30:.2f} GiB"
    )


def measure(config: Config, steps: int) -> dict[str, Any]:
    """Seconds of each step after a warm-up, and the peak memory over all of them."""
    with open_processes() as context:
        engine = build_engine(build_network(config), config.training, config.network, context)
        step = _make_step(engine, config, context.device)
        for _ in range(WARM_UP):
            step()
        seconds = [_timed(step, context.device) for _ in range(steps)]
        return {
            "device": torch.cuda.get_device_name() if context.device != "cpu" else platform.processor() or "cpu",
            "torch": version("torch"),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "threads": torch.get_num_threads(),
            "parameters": parameter_counts(config.network)[int(config.method == "baseline")],
            "config": config.model_dump(mode="json"),
            "seconds": seconds,
            "median_s": statistics.median(seconds),
            "peak_memory_bytes": peak_memory_bytes(context.device),
        }


def _make_step(engine: Engine, config: Config, device: str) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(config.seed)
    shape = (config.training.batch_size, 1, *config.grid.shape)
    volume = torch.rand(shape, generator=generator).to(device)
    mask = (torch.rand(shape, generator=generator) > 0.5).to(device)
    target = (torch.arange(shape[0]) % config.classes).to(device)
    engine.network.train()

    def step() -> None:
        engine.backward(F.cross_entropy(engine.forward(volume, mask), target))
        engine.step()

    return step


def _timed(step: Callable[[], None], device: str) -> float:
    started = time.perf_counter()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
