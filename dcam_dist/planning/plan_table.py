"""A plan as lines and tables for people."""

from collections.abc import Iterator, Sequence

from dcam_dist.config import Config
from dcam_dist.planning.fits import EDGE, LARGEST
from dcam_dist.planning.gpus import FREE
from dcam_dist.planning.plan import Plan
from dcam_dist.planning.step_memory import StepMemory

GIB = 2**30
PARTS = ("parameters", "gradients", "optimizer", "inputs", "retained", "working")


def memory_rows(plan: Plan) -> Iterator[Sequence[str]]:
    """Policy, peak, the parts in GiB, and whether it fits."""
    for policy, memory in plan.memory.items():
        parts = (f"{getattr(memory, part) / GIB:.2f}" for part in PARTS)
        yield policy, f"{memory.peak / GIB:.2f}", *parts, _verdict(plan, policy, memory)


def sentences(plan: Plan, config: Config) -> Iterator[str]:
    """What to do, and what it takes."""
    budget = plan.gpu.tensor_bytes / GIB
    if plan.chosen is None:
        yield f"no policy fits {plan.gpu.name}: lower training.batch_size, raise accumulation, or take more GPUs"
    else:
        yield f"take network.checkpointing={plan.chosen}: the fastest that fits"
        yield (
            f"with it, one card takes {_up_to(plan.batch, LARGEST)} cases of "
            f"{'×'.join(map(str, config.data.patch or config.grid.shape))} at once, or one case of "
            f"{_up_to(plan.cube, EDGE * LARGEST)}³"
        )
    if plan.gpu.kind == "cuda" and 4 * config.network.filters * plan.cube**3 >= 2**31:
        yield "of that cube a tensor passes 2³¹ elements, where cuDNN's convolutions have failed (pytorch #95024)"
    fits = "" if plan.extraction <= plan.gpu.tensor_bytes else ", which does not fit"
    whole = "×".join(map(str, config.grid.shape))
    yield f"extraction of a whole grid, {whole}, takes {plan.extraction / GIB:.2f} GiB{fits}"
    what = "CUDA, NCCL and workspaces" if plan.gpu.kind == "cuda" else "the process itself"
    yield (
        f"{budget:.1f} GiB are taken as free for tensors: {plan.gpu.reserve_gib:g} GiB are kept for {what} and "
        f"{FREE:.0%} of the rest for what the allocator cannot use"
    )
    yield from _times(plan, config)
    yield from _space(plan, config)


def _up_to(found: int, most: int) -> str:
    return f"at least {found}" if found == most else f"up to {found}"


def _times(plan: Plan, config: Config) -> Iterator[str]:
    if plan.pace is None:
        precision = config.network.precision
        yield f"time: not known for {plan.gpu.name} in {precision}; on such a machine --gpu here measures it"
        return
    phases = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in plan.epoch_s.items())
    total_s = sum(plan.epoch_s.values())
    yield (
        f"an epoch of {plan.cases} cases on {plan.gpus} GPUs: {total_s:.0f} s ({phases}); "
        f"{config.training.epochs} epochs: {plan.hours:.1f} h, {plan.hours * plan.gpus:.0f} GPU hours"
    )
    rates = f"{plan.pace.train / 1e12:.3g} TFLOP/s in training, {plan.pace.extract / 1e12:.3g} in extraction"
    yield f"pace: {rates} ({plan.pace.source})"
    yield "in these times reading, clustering of pooled features and the exchange between GPUs cost nothing"


def _space(plan: Plan, config: Config) -> Iterator[str]:
    kept, one = config.training.keep_checkpoints + 2, plan.checkpoint_bytes
    yield f"a checkpoint: {one / 1e6:.0f} MB; the run keeps up to {kept}: {kept * one / 1e9:.2f} GB"
    if plan.disk is None:
        yield "the cohort's disk and inodes: name one with --cohort, a small one of the same scans will do"
        return
    disk = plan.disk
    yield (
        f"the cohort: {disk.bytes_a_case / 1e6:.1f} MB and {disk.inodes_a_case:.1f} inodes a case; of {plan.cases} "
        f"training cases {plan.cases * disk.bytes_a_case / 1e9:.1f} GB and {plan.cases * disk.inodes_a_case:.0f} inodes"
    )


def _verdict(plan: Plan, policy: str, memory: StepMemory) -> str:
    if policy == plan.chosen:
        return "fits; take it"
    return "fits" if memory.peak <= plan.gpu.tensor_bytes else "does not fit"
