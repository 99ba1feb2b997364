"""Activation checkpointing: what a part of the network computes is computed again in the backward pass, not stored.

The recomputation runs the part's forward a second time. Whatever a forward changes beside its output (running
statistics) must not change again, or checkpointing would alter the extracted features and with them the clusters. The
network draws no random numbers, so no generator is saved or touched.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dcam_dist.errors import UsageError
from dcam_dist.models.offload import kept_in_main_memory

Compute = Callable[..., Tensor]
Runner = Callable[..., Tensor]
"""Called with a part's computation and its input tensors; gives what the computation gives."""


def run_plainly(compute: Compute, *inputs: Tensor) -> Tensor:
    """Compute and let autograd keep what it needs."""
    return compute(*inputs)


class Unit(nn.Module):
    """A part of the network that a policy may recompute: its ``forward`` calls ``self.run(compute, *inputs)``."""

    size: ClassVar[Literal["block", "conv"]]

    def __init__(self) -> None:
        super().__init__()
        self.run: Runner = run_plainly


@dataclass(frozen=True)
class CheckpointPolicy:
    """What is recomputed, how, and where the rest is kept. Weights, gradients and buffers are the same under each.

    Attributes:
        unit: The parts that are recomputed; ``None``: none.
        run: How such a part is run.
        keeping: A context for the body's forward.
    """

    unit: Literal["block", "conv"] | None = None
    run: Runner = run_plainly
    keeping: Callable[[], AbstractContextManager[object]] = nullcontext


def apply_policy(network: nn.Module, policy: CheckpointPolicy) -> None:
    """Have every unit of a network run as a policy says, also where it ran otherwise before."""
    for module in network.modules():
        if isinstance(module, Unit):
            module.run = policy.run if module.size == policy.unit else run_plainly


def is_recomputing() -> bool:
    """Whether this thread is inside the second forward of a checkpointed part."""
    return bool(getattr(_thread, "recomputing", False))


def use_deepspeed(checkpoint_function: Callable[..., Tensor] | None) -> None:
    """Register ``deepspeed.checkpointing.checkpoint`` for the policy ``deepspeed``; ``None`` takes it out again.

    Args:
        checkpoint_function: Called as ``f(compute, *inputs)``; it computes once without gradients and, in the backward
            pass, again with them.
    """
    global _deepspeed  # noqa: PLW0603
    _deepspeed = checkpoint_function


_deepspeed: Callable[..., Tensor] | None = None
_thread = threading.local()  # autograd recomputes in a thread of its own on CUDA


def _run_recomputed(compute: Compute, *inputs: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return compute(*inputs)
    recomputed = checkpoint(compute, *inputs, use_reentrant=False, context_fn=_contexts, preserve_rng_state=False)
    return cast(Tensor, recomputed)


def _run_by_deepspeed(compute: Compute, *inputs: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return compute(*inputs)
    if _deepspeed is None:
        raise UsageError("network.checkpointing=deepspeed needs training.engine=deepspeed; or choose block")
    calls = 0

    def first_or_again(_: Tensor, *own_inputs: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        with nullcontext() if calls == 1 else _recomputing():
            return compute(*own_inputs)

    # The anchor gives the first block, whose volumes need no gradient, one for its parameters. The views are
    # DeepSpeed's to overwrite: it moves the data of its arguments, and a skip is also another block's input.
    anchor = torch.zeros(1, device=inputs[0].device, requires_grad=True)
    return _deepspeed(first_or_again, anchor, *(x.view_as(x) for x in inputs))


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _recomputing()


@contextmanager
def _recomputing() -> Iterator[None]:
    _thread.recomputing = True
    try:
        yield
    finally:
        _thread.recomputing = False


POLICIES: Mapping[str, CheckpointPolicy] = MappingProxyType(
    {
        "none": CheckpointPolicy(),
        "block": CheckpointPolicy("block", _run_recomputed),
        "conv": CheckpointPolicy("conv", _run_recomputed),
        "offload": CheckpointPolicy("block", _run_recomputed, kept_in_main_memory),
        "deepspeed": CheckpointPolicy("block", _run_by_deepspeed),
    }
)
"""By the name in ``network.checkpointing``."""
