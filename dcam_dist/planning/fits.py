"""The largest batch and the largest volume whose training step fits a memory."""

from collections.abc import Callable
from typing import Literal

from dcam_dist.config import Config
from dcam_dist.planning.step_memory import predict_step

EDGE = 16
"""Sizes of a volume are multiples of it."""
LARGEST = 64
"""The largest edge that is tried, in units of ``EDGE``; and the largest batch."""


def largest_batch(config: Config, budget: int, kind: Literal["cpu", "cuda"] = "cuda") -> int:
    """Cases of one part of a batch on one device whose step fits, 0 where not even one does.

    Args:
        config: Network, grid, optimizer.
        budget: Bytes for tensors.
        kind: Of device.
    """
    return largest(lambda cases: predict_step(config, cases, kind).peak, budget)


def largest_cube(config: Config, budget: int, kind: Literal["cpu", "cuda"] = "cuda") -> int:
    """Edge in voxels of the largest cube of which a step of one case fits, 0 where none does."""
    return EDGE * largest(lambda size: predict_step(with_cube(config, EDGE * size), 1, kind).peak, budget)


def with_cube(config: Config, edge: int) -> Config:
    """The same on a cube of so many voxels along each axis."""
    grid = config.grid.model_copy(update={"shape": (edge, edge, edge)})
    data = config.data.model_copy(update={"patch": None})
    return config.model_copy(update={"grid": grid, "data": data})


def largest(peak: Callable[[int], int], budget: int, most: int = LARGEST) -> int:
    """The largest number of which the peak, which grows with it, is within the budget; 0 where none is."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if peak(middle) <= budget else (low, middle)
    return low
