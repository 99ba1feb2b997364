"""Keeping in main memory what autograd keeps on a GPU between the forward and the backward pass."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

_SMALLEST = 2**16  # bytes; below, a copy costs more than it frees

Kept = Tensor | tuple[torch.device, Tensor]


def kept_in_main_memory() -> AbstractContextManager[object]:
    """A context: tensors on a GPU that autograd keeps within it wait in pinned main memory for the backward pass.

    Copies are exact. They are made in the order of the GPU's own work, so no memory is freed before it was copied. On a
    CPU there is nothing to move.
    """
    return torch.autograd.graph.saved_tensors_hooks(_to_main_memory, from_main_memory)


def _to_main_memory(tensor: Tensor) -> Kept:
    return to_pinned(tensor) if tensor.is_cuda and _worth_moving(tensor) else tensor


def _worth_moving(tensor: Tensor) -> bool:
    # a parameter stays where it is anyway, so a copy of it would free nothing
    return tensor.nbytes >= _SMALLEST and not isinstance(tensor, torch.nn.Parameter)


def to_pinned(tensor: Tensor) -> tuple[torch.device, Tensor]:
    """A copy in main memory, with the device that it came from."""
    kept = torch.empty_like(tensor, device="cpu", pin_memory=torch.cuda.is_available())
    kept.copy_(tensor, non_blocking=True)
    return tensor.device, kept


def from_main_memory(kept: Kept) -> Tensor:
    """What was kept, on its own device."""
    if isinstance(kept, Tensor):
        return kept
    device, tensor = kept
    return tensor.to(device, non_blocking=True)
