"""One rank of ``benchmarks.scaling``: times its steps and counts what it hands over and sends; rank 0 writes a file."""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from benchmarks.harness import interleave
from benchmarks.sent_bytes import Handed, sent_bytes
from dcam_dist.config import Config, load_config
from dcam_dist.distributed import (
    Engine,
    ProcessContext,
    StepOutcome,
    all_true,
    build_engine,
    open_processes,
    share_notes,
)
from dcam_dist.distributed.control import meet
from dcam_dist.distributed.optimizer import build_optimizer
from dcam_dist.models import build_network
from dcam_dist.models.norm import use_statistics_group

Step = Callable[[], object]
COUNTED_STEPS = 3


def main() -> None:
    """Seconds of the steps in turn, then the bytes of further ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=int, required=True, help="of a rank, weak scaling")
    parser.add_argument("--batch", type=int, required=True, help="of all ranks, strong scaling")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        _bind(int(os.environ.get("LOCAL_RANK", "0")), arguments.cores)
    config = load_config(None, arguments.settings)
    with open_processes() as context:
        engine = build_engine(build_network(config), config.training, config.network, context)
        weak = _training_step(engine, config, context, arguments.cases)
        contenders = {
            "weak": weak,
            "strong": _training_step(engine, config, context, arguments.batch // context.world_size),
            "apart": _step_apart(config, context, arguments.cases),
        }
        seconds = interleave(contenders, arguments.steps, config.seed)  # in the same order on every rank
        told = {"device": context.device, "seconds": {name: asdict(one) for name, one in seconds.items()}}
        if context.world_size > 1:
            told |= _counted(weak, context)
        if context.is_main:
            arguments.out.write_text(json.dumps(told))


def _bind(rank: int, cores: int) -> None:
    """One core a rank, in turn; threads that are started later inherit it."""
    mine = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, {mine[rank % len(mine)]})


def _drawn(config: Config, context: ProcessContext, cases: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(config.seed + context.rank)
    volume = torch.rand(cases, 1, *config.grid.shape, generator=generator)
    target = torch.randint(config.classes, (cases,), generator=generator)
    return volume.to(context.device), (volume > 0.3).to(context.device), target.to(context.device)


def _training_step(engine: Engine, config: Config, context: ProcessContext, cases: int) -> Step:
    """As the training takes it, with the meeting before it; all ranks have as many cases."""
    volume, mask, target = _drawn(config, context, cases)
    engine.network.train()

    def step() -> None:
        share_notes({}, context)
        engine.backward(F.cross_entropy(engine.forward(volume, mask), target))
        assert engine.step() is StepOutcome.TAKEN  # another outcome would take another time
        _finish(context)

    return step


def _step_apart(config: Config, context: ProcessContext, cases: int) -> Step:
    """The same work by every rank for itself, at the same time: neither gradients nor statistics are exchanged."""
    volume, mask, target = _drawn(config, context, cases)
    network = build_network(config).to(context.device).train()
    optimizer = build_optimizer(network, config.training.optimizer)
    alone = [dist.new_group([rank]) for rank in range(context.world_size)][context.rank]
    shared = dist.new_group()
    use_statistics_group(shared)

    def step() -> None:
        share_notes({}, context)
        use_statistics_group(alone)
        torch.autograd.backward(F.cross_entropy(network(volume, mask), target))
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        use_statistics_group(shared)
        all_true(True, context)
        _finish(context)

    return step


def _finish(context: ProcessContext) -> None:
    if context.device.startswith("cuda"):
        torch.cuda.synchronize()


def _counted(step: Step, context: ProcessContext) -> dict[str, Any]:
    """What each rank hands over in a step, and what it sends by TCP; NCCL has other ways, so not of GPUs."""
    with Handed() as handed:
        step()
    before = sent_bytes()
    for _ in range(COUNTED_STEPS):
        step()
    sent = sent_bytes() - before
    told: dict[str, Any] = {
        "reduced": meet("telling of reductions", handed.reduced),
        "gathered": meet("telling of gathers", handed.gathered),
        "calls": handed.calls,
    }
    everyones = meet("telling what was sent", sent)
    return told if context.device.startswith("cuda") else told | {"sent": [one / COUNTED_STEPS for one in everyones]}


if __name__ == "__main__":
    main()
