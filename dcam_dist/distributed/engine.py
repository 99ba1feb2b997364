"""What the training cycle asks of a distributed engine."""

from enum import StrEnum
from typing import Protocol

import torch
from torch import Tensor

from dcam_dist.models import ClusterNetwork


class StepOutcome(StrEnum):
    """What became of a step; the same on every rank."""

    TAKEN = "taken"
    """The parameters were updated."""
    SCALED_DOWN = "scaled down"
    """Gradients did not fit into float16; nothing but the loss scale has changed. Harmless, and not to be counted."""
    NOT_FINITE = "not finite"
    """A loss or gradient of some rank was not finite; nothing has changed."""


class Engine(Protocol):
    """Owns the optimizer and the exchange of gradients; the cycle owns everything else.

    All ranks call every method together and equally often. One optimizer step is: for each part of the global batch
    ``forward`` and ``backward``, then ``step``.

    Attributes:
        network: The network itself, for evaluation and extraction. Its parameters are float32.
    """

    network: ClusterNetwork

    def forward(self, volume_BCDHW: Tensor, lung_mask_BCDHW: Tensor, *, last: bool = True) -> Tensor:
        """Logits of shape (B, K), float32, for this rank's share of one part of the batch.

        Args:
            volume_BCDHW: Volumes on the engine's device.
            lung_mask_BCDHW: Their lungs.
            last: Whether this is the last part before ``step``; only then are gradients exchanged.
        """

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of a scalar; they are **averaged** over the ranks with the last part."""

    def step(self, rate: float = 1.0) -> StepOutcome:
        """Clip, update the parameters with ``rate`` times the configured learning rates, clear the gradients.

        Returns:
            What became of the step. Unless it was ``TAKEN``, parameters, buffers and optimizer state are on every rank
            as before the step's first ``forward``.
        """

    def reset_head(self, generator: torch.Generator) -> None:
        """Draw a new head in place, the same on all ranks, and clear its optimizer state."""

    def state(self) -> dict[str, Tensor]:
        """Parameters, buffers and optimizer state as named CPU tensors, whole on rank 0 (ZeRO's parts are gathered).

        Names and shapes are the same for every engine and every number of ranks: ``network.NAME``,
        ``optimizer.PARAMETER/KEY``, and ``loss_scale`` under fp16. Other ranks may return an empty dict.
        """

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of ``state``, on every rank with the whole tensors, of whichever engine they are."""
