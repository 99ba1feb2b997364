"""What the training cycle asks of a distributed engine."""

from typing import Protocol

import torch
from torch import Tensor

from dcam_dist.models import ClusterNetwork


class Engine(Protocol):
    """Owns the optimizer and the exchange of gradients; the cycle owns everything else.

    Attributes:
        network: The network itself, for evaluation and extraction.
    """

    network: ClusterNetwork

    def forward(self, volume_BCDHW: Tensor, lung_mask_BCDHW: Tensor) -> Tensor:
        """Logits of shape (B, K) for this rank's share of the batch. All ranks call it equally often."""

    def backward(self, loss: Tensor) -> None:
        """Accumulate gradients of a scalar; they are **averaged** over the ranks."""

    def step(self) -> None:
        """Clip, update the parameters, clear the gradients."""

    def reset_head(self, generator: torch.Generator) -> None:
        """Draw a new head in place, the same on all ranks, and clear its optimizer state."""

    def state(self) -> dict[str, Tensor]:
        """Parameters, buffers and optimizer state as named CPU tensors."""

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of ``state``."""
