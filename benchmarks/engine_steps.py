"""One rank of ``benchmarks.engines``: every engine on the same volumes; rank 0 writes one JSON file."""

import argparse
import gc
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.allocated import peak_allocation
from benchmarks.harness import interleave
from dcam_dist.config import Config, load_config
from dcam_dist.distributed import Engine, ProcessContext, build_engine, open_processes, sum_over_ranks
from dcam_dist.distributed.optimizer import state_bytes
from dcam_dist.models import build_network, count_parameters

Step = Callable[[], float]


def main() -> None:
    """Losses of a number of steps, then the seconds of further ones, engine by engine in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--engine", action="append", nargs="+", metavar=("NAME", "SETTING"), required=True)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    with open_processes() as context:
        told: dict[str, Any] = {"losses": {}, "state_bytes": {}, "held_bytes": {}, "step_bytes": {}}
        contenders: dict[str, Step] = {}
        for name, *own in arguments.engine:
            config = load_config(None, [*arguments.settings, *own])
            before = live_bytes()
            network = build_network(config)
            engine = build_engine(network, config.training, config.network, context)
            contenders[name] = step = make_step(engine, config, context)
            told["parameters"] = count_parameters(network)
            told["losses"][name] = [step() for _ in range(arguments.steps)]
            mine = torch.tensor([float(state_bytes(engine.optimizer))])  # type: ignore[attr-defined]
            told["state_bytes"][name] = float(sum_over_ranks(mine)) / context.world_size
            told["held_bytes"][name] = live_bytes() - before
            told["step_bytes"][name] = peak_allocation(step)
        seconds = interleave(contenders, arguments.repeats, config.seed)  # in the same order on every rank
        told["seconds"] = {name: asdict(series) for name, series in seconds.items()}
        if context.is_main:
            arguments.out.write_text(json.dumps(told))


def live_bytes() -> int:
    """Bytes of all tensors of this process that Python can see, each storage once."""
    gc.collect()
    tensors = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
    held = [*tensors, *(one.grad for one in tensors if one.is_leaf and one.grad is not None)]
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in held}
    return sum(storages.values())


def make_step(engine: Engine, config: Config, context: ProcessContext) -> Step:
    """A step on the next volumes of a generator; gives the mean loss over the ranks."""
    size, generator = config.training.batch_size, torch.Generator().manual_seed(config.seed)
    mine = slice(context.rank, None, context.world_size)
    engine.network.train()

    def step() -> float:
        volume = torch.rand(size, 1, *config.grid.shape, generator=generator)
        target = torch.randint(config.classes, (size,), generator=generator)[mine].to(context.device)
        share = volume[mine].to(context.device)
        loss = F.cross_entropy(engine.forward(share, share > 0.3), target, reduction="sum")
        engine.backward(loss * (context.world_size / size))
        engine.step()
        return float(sum_over_ranks(loss.detach())) / size

    return step


if __name__ == "__main__":
    main()
