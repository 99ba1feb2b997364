"""What the ranks have to tell each other in one training step, counted from the network alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dcam_dist.config import Config
from dcam_dist.models import build_network, count_parameters
from dcam_dist.models.norm import GlobalBatchNorm3d

GRADIENT_BYTES, STATISTIC_BYTES = 4, 8
MEETING_BYTES, MEETINGS = 16, 2


@dataclass(frozen=True)
class Payload:
    """Bytes that one rank hands over to collectives in one step.

    Attributes:
        reduced: To all-reduces: gradients and the normalizations' sums.
        gathered: To all-gathers: the two meetings.
    """

    reduced: int
    gathered: int

    @property
    def total(self) -> int:
        """All bytes handed over."""
        return self.reduced + self.gathered

    def ring(self, ranks: int) -> float:
        """Bytes that one rank then sends, where every collective goes around a ring.

        An all-reduce of S bytes sends 2·S·(n−1)/n (Patarasuk & Yuan 2009), an all-gather of S bytes of each S·(n−1).
        """
        return 2 * self.reduced * (ranks - 1) / ranks + self.gathered * (ranks - 1)


def payload(parameters: int, channels: Sequence[int], forwards: int = 1) -> Payload:
    """What a step hands over.

    Every parameter has a float32 gradient. A normalization of C channels sums 2·C + 1 numbers in each forward pass (two
    moments a channel, one count) and 2·C in its backward pass, in float64. The ranks meet before the step and when they
    judge it, with two int64 each time.

    Args:
        parameters: Of the network.
        channels: Of each normalization over the ranks.
        forwards: Forward passes in a step: 2 with activation checkpointing, whose recomputation sums anew.
    """
    statistics = sum(forwards * (2 * one + 1) + 2 * one for one in channels)
    return Payload(GRADIENT_BYTES * parameters + STATISTIC_BYTES * statistics, MEETINGS * MEETING_BYTES)


def payload_of(config: Config) -> Payload:
    """The same of the network of a configuration, which is not built in memory."""
    with torch.device("meta"):
        network = build_network(config)
    norms = [module for module in network.modules() if isinstance(module, GlobalBatchNorm3d)]
    forwards = 1 if config.network.checkpointing == "none" else 2
    return payload(count_parameters(network), [len(norm.weight) for norm in norms], forwards)
