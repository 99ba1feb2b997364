"""The processes of a group as the clustering sees them; everything goes over the control group."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcam_dist.distributed.context import ProcessContext
from dcam_dist.distributed.control import from_first, gathered, meet, summed

GATHERED_BYTES = 2**23
"""Up to so many bytes of all ranks are gathered and added up everywhere: for little, gloo's all-reduce takes longer."""


@dataclass(frozen=True)
class ContextRanks:
    """Implements ``clustering.Ranks`` for the processes that a launcher started.

    Attributes:
        rank: Index of this process.
        size: Number of processes.
    """

    rank: int
    size: int

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See ``clustering.Ranks``."""
        if self.size == 1:
            return values
        meet(f"summing {values.shape}")
        mine = torch.from_numpy(np.ascontiguousarray(values))
        if values.nbytes * self.size > GATHERED_BYTES:
            return summed(mine).numpy()
        total: NDArray[np.float64] = gathered(mine).numpy().sum(axis=0)
        return total

    def all_rows(self, rows_NC: NDArray[Any]) -> NDArray[Any]:
        """See ``clustering.Ranks``."""
        if self.size == 1:
            return rows_NC
        counts = meet(f"gathering rows of {rows_NC.shape[1:]} {rows_NC.dtype}", len(rows_NC))
        padded = np.zeros((max(counts), *rows_NC.shape[1:]), dtype=rows_NC.dtype)
        padded[: len(rows_NC)] = rows_NC
        everyones = gathered(torch.from_numpy(padded)).numpy()
        return np.concatenate([one[:count] for one, count in zip(everyones, counts, strict=True)])

    def first(self, values: NDArray[Any]) -> NDArray[Any]:
        """See ``clustering.Ranks``."""
        meet(f"spreading {values.shape} {values.dtype}")
        return from_first(torch.from_numpy(np.ascontiguousarray(values))).numpy()


def ranks_of(context: ProcessContext) -> ContextRanks:
    """This process and its peers."""
    return ContextRanks(context.rank, context.world_size)
