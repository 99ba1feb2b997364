"""Run under torchrun or the deepspeed launcher: the engines, in as many ways as one start allows.

    engine_jobs.py OUT compare            every engine with both optimizers
    engine_jobs.py OUT whole ENGINE…      four steps, the state kept after two
    engine_jobs.py OUT resumed ENGINE…    the last two of them, from that state

``OUT/NAME.json`` holds losses and outcomes, ``OUT/NAME.safetensors`` the state of an engine.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dcam_dist.config import load_config
from dcam_dist.distributed import ProcessContext, build_engine, open_processes, sum_over_ranks
from dcam_dist.distributed.ddp import DdpEngine
from dcam_dist.distributed.engine import Engine
from dcam_dist.distributed.loss_scale import LossScale
from dcam_dist.models import build_network

ENGINES = ("ddp", "zero0", "zero1", "zero2")
OPTIMIZERS = {"sgd": [], "adam": ["training.optimizer.name=adam", "training.optimizer.lr=0.002"]}
RATES = (0.5, 1.0, 1.0, 0.8, 0.6, 0.4)
BATCH, SHAPE = 4, (16, 16, 16)


def make(name: str, out: Path, context: ProcessContext, *settings: str) -> Engine:
    config = load_config(
        None, ["network.filters=2", f"training.batch_size={BATCH}", "seed=3", *settings, *of(name, out)]
    )
    engine = build_engine(build_network(config), config.training, config.network, context)
    engine.network.train()
    return engine


def of(name: str, out: Path) -> list[str]:
    """Settings of an engine, also of ``zero1-block`` and the like."""
    kind, _, policy = name.partition("-")
    settings = [f"network.checkpointing={policy}"] if policy else []
    if kind == "ddp":
        return settings
    file = out / f"{kind}-{torch.distributed.get_rank()}.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": int(kind[-1])}}))
    return [*settings, "training.engine=deepspeed", f"training.deepspeed_config={file}"]


def take(engine: Engine, context: ProcessContext, step: int, *, parts: int = 1, rate: float = 1.0, poison: str = ""):
    """One step on the cases of a step's number; the last rank alone is poisoned. Mean loss, outcome."""
    generator = torch.Generator().manual_seed(100 + step)
    volume = torch.rand(BATCH, 1, *SHAPE, generator=generator)
    mask = torch.rand(volume.shape, generator=generator) > 0.3
    target = torch.randint(6, (BATCH,), generator=generator)
    mine = poison if context.rank == context.world_size - 1 else ""
    total = torch.zeros(1)
    for part in range(parts):
        share = torch.arange(BATCH).view(parts, -1)[part][context.rank :: context.world_size]
        worse = torch.full((), torch.nan if mine == "volume" else 0.0)
        logits = engine.forward(volume[share] + worse, mask[share], last=part == parts - 1)
        loss = F.cross_entropy(logits, target[share], reduction="sum") + poisoned(engine, mine)
        engine.backward(loss * (context.world_size / BATCH))
        total += loss.detach()
    outcome = engine.step(rate)
    return [float(sum_over_ranks(total) / BATCH), str(outcome)]


def poisoned(engine: Engine, kind: str) -> torch.Tensor:
    """Zero; or a loss that is not finite with gradients that are; or the other way round."""
    if kind == "loss":
        return torch.full((), torch.nan)
    if kind == "gradient":
        bias = engine.network.head.bias[0]
        return (bias - bias.detach()).abs().sqrt()
    return torch.zeros(())


def head_generator() -> torch.Generator:
    return torch.Generator().manual_seed(77)


class Bench:
    """Writes down what engines do."""

    def __init__(self, out: Path, context: ProcessContext) -> None:
        self.out, self.context, self.told = out, context, {}

    def tell(self, name: str, engine: Engine, steps: list[list]) -> None:
        state = engine.state()
        if self.context.is_main:
            save_file(state, self.out / f"{name}.safetensors")
        self.told[name] = steps

    def tell_own(self, name: str, engine: Engine) -> None:
        """What this very rank computes with."""
        own = {key: value.detach().clone() for key, value in engine.network.state_dict().items()}
        save_file(own, self.out / f"{name}-rank{self.context.rank}.safetensors")

    def close(self, name: str) -> None:
        if self.context.is_main:
            (self.out / f"{name}.json").write_text(json.dumps(self.told))


def compare(bench: Bench, name: str, optimizer: str) -> None:
    context, label = bench.context, f"{name}-{optimizer}"
    engine = make(name, bench.out, context, *OPTIMIZERS[optimizer])
    bench.tell(f"{label}-start", engine, [])
    losses = [take(engine, context, step, rate=rate) for step, rate in enumerate(RATES)]
    bench.tell(f"{label}-trained", engine, losses)
    engine.reset_head(head_generator())
    bench.tell(f"{label}-reset", engine, [])
    bench.tell(f"{label}-reset-step", engine, [take(engine, context, 6)])
    for kind in ("loss", "volume", "gradient"):
        leave_out(bench, engine, f"{label}-{kind}", kind)


def leave_out(bench: Bench, engine: Engine, label: str, kind: str) -> None:
    """A poisoned step, then a good one; and the good one alone."""
    context, before = bench.context, engine.state()
    bench.tell_own(f"{label}-before", engine)
    bench.told[label] = [take(engine, context, 7, poison=kind)]
    bench.tell_own(f"{label}-after", engine)
    bench.tell(f"{label}-state", engine, [])
    bench.tell(f"{label}-next", engine, [take(engine, context, 8)])
    engine.load_state(before)
    bench.tell(f"{label}-alone", engine, [take(engine, context, 8)])


def cross(bench: Bench, name: str, optimizer: str) -> None:
    """Go on from the state of every engine."""
    engine = make(name, bench.out, bench.context, *OPTIMIZERS[optimizer])
    for other in ENGINES:
        torch.distributed.barrier()  # rank 0 has written it
        engine.load_state(load_file(bench.out / f"{other}-{optimizer}-trained.safetensors"))
        steps = [take(engine, bench.context, step) for step in (9, 10)]
        bench.tell(f"{name}-{optimizer}-from-{other}", engine, steps)


def parts_and_clipping(bench: Bench, name: str) -> None:
    settings = ["training.accumulation=2", "training.clip_norm=0.01"]
    engine = make(name, bench.out, bench.context, *settings)
    bench.tell(f"{name}-parts", engine, [take(engine, bench.context, step, parts=2) for step in range(3)])
    bench.told[f"{name}-parts-loss"] = [take(engine, bench.context, 3, parts=2, poison="loss")]
    bench.tell(f"{name}-parts-next", engine, [take(engine, bench.context, 4, parts=2)])
    engine = make(name, bench.out, bench.context, "training.clip_norm=0.01")
    bench.tell(f"{name}-clipped", engine, [take(engine, bench.context, step) for step in range(2)])


def with_loss_scale(bench: Bench, name: str) -> None:
    """Float32 convolutions, but the loss is scaled; the plain engine beside it."""
    engine = make(name, bench.out, bench.context, "training.clip_norm=0.01")
    engine._guard.scale = LossScale()
    bench.tell(f"{name}-scaled", engine, [take(engine, bench.context, step) for step in range(2)])
    leave_out(bench, engine, f"{name}-scaled-gradient", "gradient")
    leave_out(bench, engine, f"{name}-scaled-loss", "loss")


def write_head_past_the_engine(bench: Bench, name: str) -> None:
    """What ``reset_head`` must not do: after one step the old head is back, where ZeRO has its own copy."""
    engine = make(name, bench.out, bench.context)
    for step, rate in enumerate(RATES):
        take(engine, bench.context, step, rate=rate)
    for parameter, value in zip(
        engine.network.head.parameters(), engine.network.draw_head(head_generator()), strict=True
    ):
        parameter.data.copy_(value)
    bench.tell(f"{name}-data-step", engine, [take(engine, bench.context, 6)])


def group_of(bench: Bench) -> None:
    """The group in which ZeRO exchanges; ours has the configured timeout."""
    engine = make("zero2", bench.out, bench.context)
    ours = torch.distributed.group.WORLD
    groups = [engine._engine.data_parallel_group, engine._engine.optimizer.dp_process_group]
    bench.told["group"] = [all(group is ours for group in groups)]


def deepspeed_checkpointing(bench: Bench) -> None:
    for name in ("zero2", "zero2-deepspeed"):
        engine = make(name, bench.out, bench.context)
        bench.tell(f"{name}-activations", engine, [take(engine, bench.context, step) for step in range(2)])


def compare_all(out: Path, context: ProcessContext) -> None:
    bench = Bench(out, context)
    for optimizer in OPTIMIZERS:
        for name in ENGINES:
            compare(bench, name, optimizer)
        for name in ENGINES:
            cross(bench, name, optimizer)
    for name in ENGINES:
        parts_and_clipping(bench, name)
        with_loss_scale(bench, name)
    for name in ENGINES[1:]:
        write_head_past_the_engine(bench, name)
    deepspeed_checkpointing(bench)
    group_of(bench)
    bench.close("compare")


def whole(out: Path, context: ProcessContext, names: list[str]) -> None:
    bench = Bench(out, context)
    for name in names:
        engine = make_for_resume(name, out, context)
        bench.tell(f"{name}-half", engine, [take(engine, context, step) for step in range(2)])
        bench.tell(f"{name}-whole", engine, [take(engine, context, step) for step in (2, 3)])
    bench.close("whole")


def resumed(out: Path, context: ProcessContext, names: list[str]) -> None:
    bench = Bench(out, context)
    for name in names:
        engine = make_for_resume(name, out, context)
        engine.load_state(load_file(out / f"{name}-half.safetensors"))
        bench.tell(f"{name}-resumed", engine, [take(engine, context, step) for step in (2, 3)])
    bench.close("resumed")


def make_for_resume(name: str, out: Path, context: ProcessContext) -> Engine:
    engine = make(name.removesuffix("-unrehearsed"), out, context)
    if name.endswith("-unrehearsed"):
        assert isinstance(engine, DdpEngine)
        engine._replica = DistributedDataParallel(engine.network, gradient_as_bucket_view=True)
    return engine


if __name__ == "__main__":
    folder, job, *rest = sys.argv[1:]
    with open_processes(120) as here:
        if job == "compare":
            compare_all(Path(folder), here)
        else:
            {"whole": whole, "resumed": resumed}[job](Path(folder), here, rest)
