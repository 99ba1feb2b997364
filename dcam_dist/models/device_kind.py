"""For which kind of device a computation is laid out: the tensors' own, unless another machine's step is predicted."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_planned: ContextVar[str | None] = ContextVar("planned", default=None)


def kind_of(device: torch.device) -> str:
    """``cpu`` or ``cuda``: slab sizes, memory formats and workarounds depend on it, results but for rounding do not."""
    return _planned.get() or device.type


@contextmanager
def as_if_on(kind: str) -> Iterator[None]:
    """Lay computations out for a kind of device that the tensors are not on, to see what they would hold there."""
    token = _planned.set(kind)
    try:
        yield
    finally:
        _planned.reset(token)
