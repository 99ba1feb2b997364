"""What this machine can do at most: a matrix product and a copy, timed here."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

MATRIX, COPY_BYTES = {"cpu": 2048, "cuda": 8192}, {"cpu": 2**28, "cuda": 2**31}
ROUNDS = 7


@dataclass(frozen=True)
class Peaks:
    """Of one device.

    Attributes:
        flops: Operations a second of a square matrix product in a type.
        copy: Bytes a second that a copy reads and writes together.
    """

    flops: float
    copy: float


def machine_peaks(device: str, dtype: torch.dtype) -> Peaks:
    """The best of a few rounds: what is possible, not what is usual."""
    kind = device.partition(":")[0]
    size, count = MATRIX[kind], COPY_BYTES[kind]
    a, b = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    source = torch.zeros(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Peaks(2 * size**3 / _best(lambda: a @ b, device), 2 * count / _best(lambda: target.copy_(source), device))


def synchronize(device: str) -> None:
    """Wait until a GPU has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds_on(device: str, work: Callable[[], object]) -> float:
    """Seconds of a call, with all that it tells a GPU to do."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def _best(work: Callable[[], object], device: str) -> float:
    return min([seconds_on(device, work) for _ in range(ROUNDS)][1:])
