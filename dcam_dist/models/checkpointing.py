"""Activation checkpointing: a block's activations are recomputed in the backward pass instead of stored.

The recomputation runs a block's forward a second time. Whatever a forward changes beside its output (running
statistics) must not change again, or checkpointing would alter the extracted features and with them the clusters.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, cast

from torch import Tensor
from torch.utils.checkpoint import checkpoint

Policy = Literal["none", "block"]

_thread = threading.local()  # autograd recomputes in a thread of its own on CUDA


def is_recomputing() -> bool:
    """Whether this thread is inside the second forward of a checkpointed block."""
    return bool(getattr(_thread, "recomputing", False))


def run_block(block: Callable[..., Tensor], *inputs: Tensor, policy: Policy) -> Tensor:
    """Run a block under a policy; the result and its gradients do not depend on the policy."""
    if policy == "none":
        return block(*inputs)
    return cast(Tensor, checkpoint(block, *inputs, use_reentrant=False, context_fn=_contexts, preserve_rng_state=False))


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _recomputing()


@contextmanager
def _recomputing() -> Iterator[None]:
    _thread.recomputing = True
    try:
        yield
    finally:
        _thread.recomputing = False
