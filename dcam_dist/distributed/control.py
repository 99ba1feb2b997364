"""The control group: small exchanges between ranks, over gloo even beside NCCL, that notice ranks out of step.

gloo pairs the next collective of one rank with the next of another, whatever they are: both get a wrong sum and no
error. Each exchange therefore begins with a tag of its own name and of the place in the program, from every rank to
every rank; where the tags differ, all ranks say where they are, and stop.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from dcam_dist.errors import RankLost

PLACE_BYTES = 160


@dataclass
class Control:
    """The exchanges of this process.

    Attributes:
        group: A gloo group of all ranks; ``None`` for a process alone.
        rank: Of this process.
        world_size: Number of processes.
        place: Where in the program this process is: the last boundary that it came to.
        doing: The exchange in which this process waits for the others, or nothing.
        since_s: When ``doing`` last changed, monotonic.
    """

    group: dist.ProcessGroup | None = None
    rank: int = 0
    world_size: int = 1
    place: str = "the start"
    doing: str = ""
    since_s: float = field(default_factory=time.monotonic)


_current = [Control()]


def use_control(control: Control) -> None:
    """Have all exchanges go over this group from now on."""
    _current[0] = control


def control() -> Control:
    """The exchanges of this process as they stand."""
    return _current[0]


def meet(name: str, value: int = 0) -> list[int]:
    """Exchange one number with all ranks. All of them call together, with the same name.

    Args:
        name: What is exchanged; with whatever must be the same on all ranks, such as a size.
        value: Below 2⁶³ in amount.

    Returns:
        Every rank's number.

    Raises:
        RankLost: On all ranks, when they are not all at this exchange.
    """
    here = control()
    if here.group is None:
        return [value]
    with _waiting(here, name):
        tags, values = gathered(torch.tensor([_tag(here.place, name), value])).T.tolist()
        if len(set(tags)) > 1:
            raise RankLost(_who_is_where(name), quiet=here.rank != 0)
    return [int(number) for number in values]


def gathered(mine: Tensor) -> Tensor:
    """CPU tensors of the same shape of all ranks, stacked. Comes after a ``meet`` that has agreed on the shape."""
    here = control()
    if here.group is None:
        return mine[None]
    everyones = [torch.empty_like(mine) for _ in range(here.world_size)]
    dist.all_gather(everyones, mine, group=here.group)
    return torch.stack(everyones)


def summed(mine: Tensor) -> Tensor:
    """The sum of CPU tensors of the same shape. Comes after a ``meet`` that has agreed on the shape."""
    total = mine.clone()
    if control().group is not None:
        dist.all_reduce(total, group=control().group)
    return total


def from_first(mine: Tensor) -> Tensor:
    """Rank 0's CPU tensor. Comes after a ``meet`` that has agreed on the shape."""
    first = mine.clone()
    if control().group is not None:
        dist.broadcast(first, src=0, group=control().group)
    return first


@contextmanager
def _waiting(here: Control, name: str) -> Iterator[None]:
    here.doing, here.since_s = name, time.monotonic()
    yield  # an error leaves it as it is, for the roll call
    here.doing, here.since_s = "", time.monotonic()


def _tag(place: str, name: str) -> int:
    digest = hashlib.sha256(f"{place}\n{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _who_is_where(name: str) -> str:
    text = f"{control().place} ({name})".encode()[:PLACE_BYTES].ljust(PLACE_BYTES)
    rows = gathered(torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy()))
    places = [row.numpy().tobytes().decode(errors="replace").strip() for row in rows]
    return f"the ranks are out of step: {ranks_by_place(places)}; start again, the run goes on from its last checkpoint"


def ranks_by_place(places: Sequence[str]) -> str:
    """Who is where, in words: ``ranks 0, 2 at A; rank 1 at B``."""
    ranks: dict[str, list[str]] = {}
    for rank, place in enumerate(places):
        ranks.setdefault(place, []).append(str(rank))
    return "; ".join(f"rank{'s' * (len(who) > 1)} {', '.join(who)} at {place}" for place, who in ranks.items())
