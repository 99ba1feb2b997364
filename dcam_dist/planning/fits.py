"""The largest batch and the largest volume whose training step fits a memory."""

from collections.abc import Callable
from typing import Literal

from dcam_dist.config import Config
from dcam_dist.planning.step_memory import predict_step

EDGE = 16
"""Sizes of a volume are multiples of it."""
LARGEST = 32
"""The largest edge that is tried, in units of ``EDGE``, and the largest batch: beyond 512³ there are no chest CTs."""
SMALL = (2, 4)
"""What is predicted for a guess."""


def largest_batch(config: Config, budget: int, kind: Literal["cpu", "cuda"] = "cuda") -> int:
    """Cases of one part of a batch on one device whose step fits, 0 where not even one does.

    Args:
        config: Network, grid, optimizer.
        budget: Bytes for tensors.
        kind: Of device.
    """
    return largest(lambda cases: predict_step(config, cases, kind).peak, budget, lambda cases: cases)


def largest_cube(config: Config, budget: int, kind: Literal["cpu", "cuda"] = "cuda") -> int:
    """Edge in voxels of the largest cube of which a step of one case fits, 0 where none does."""
    return EDGE * largest(lambda size: predict_step(with_cube(config, EDGE * size), 1, kind).peak, budget, cubed)


def with_cube(config: Config, edge: int) -> Config:
    """The same on a cube of so many voxels along each axis."""
    grid = config.grid.model_copy(update={"shape": (edge, edge, edge)})
    data = config.data.model_copy(update={"patch": None})
    return config.model_copy(update={"grid": grid, "data": data})


def cubed(size: int) -> int:
    """Voxels of a cube, in units."""
    return size**3


def largest(peak: Callable[[int], int], budget: int, amount: Callable[[int], int]) -> int:
    """The largest number of which the peak is within the budget; 0 where none is.

    A guess along the line through two small numbers, and then step by step: a prediction takes a second or more, the
    longer the larger.

    Args:
        peak: Bytes; grows with the number.
        budget: Bytes.
        amount: What the peak grows with in about a line.
    """
    (first, second), (low, high) = SMALL, (peak(SMALL[0]), peak(SMALL[1]))
    slope = max(1e-9, (high - low) / (amount(second) - amount(first)))
    most = amount(first) + (budget - low) / slope
    found = next((number for number in range(LARGEST, 0, -1) if amount(number) <= most), 0)
    while found > 0 and peak(found) > budget:
        found -= 1
    while found < LARGEST and peak(found + 1) <= budget:
        found += 1
    return found
