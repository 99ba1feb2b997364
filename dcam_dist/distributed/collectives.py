"""The few exchanges between ranks. Tensors only: nothing is pickled."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.distributed.context import ProcessContext


def gather_rows(rows_NC: Tensor, indices_N: Tensor, total: int) -> Tensor:
    """Bring the rows of all ranks together, in order, on every rank.

    Args:
        rows_NC: This rank's rows; ranks may have different numbers of them, also none.
        indices_N: int64, where each row belongs in the result. Every index below ``total`` is on exactly one rank.
        total: Rows in all.

    Returns:
        (total, C), the same on every rank.
    """
    world = dist.get_world_size()
    widest = -(-total // world)
    padded = rows_NC.new_zeros(widest, rows_NC.shape[1])
    padded[: len(rows_NC)] = rows_NC
    places = torch.full((widest,), -1, dtype=torch.int64, device=rows_NC.device)
    places[: len(indices_N)] = indices_N
    all_rows = [torch.empty_like(padded) for _ in range(world)]
    all_places = [torch.empty_like(places) for _ in range(world)]
    dist.all_gather(all_rows, padded)
    dist.all_gather(all_places, places)
    rows, order = torch.cat(all_rows), torch.cat(all_places)
    result = rows.new_empty(total, rows.shape[1])
    result[order[order >= 0]] = rows[order >= 0]
    return result


def broadcast_array(values: NDArray[np.int64], context: ProcessContext) -> NDArray[np.int64]:
    """Rank 0's int64 array on every rank; all ranks pass one of the same shape."""
    tensor = torch.from_numpy(np.ascontiguousarray(values)).to(context.device)
    dist.broadcast(tensor, src=0)
    return tensor.cpu().numpy()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, on every rank."""
    summed = values.clone()
    dist.all_reduce(summed)
    return summed


def max_over_ranks(value: float, context: ProcessContext) -> float:
    """The largest of a number over all ranks, on every rank."""
    tensor = torch.tensor(value, dtype=torch.float64, device=context.device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return float(tensor.item())


def share_notes(notes: Mapping[str, str], context: ProcessContext) -> dict[str, str]:
    """Bring short notes of all ranks together: the same table in the same order on every rank.

    What one rank alone has met (a damaged case, a request to stop) becomes what all know. All ranks call together, at
    each place where they could act on it. While nobody has a note it costs one all-reduce of a number.

    Args:
        notes: This rank's notes by name; of two ranks' notes of one name the lower rank's is kept.
        context: This process.

    Returns:
        Every rank's notes, by name in alphabetical order.
    """
    text = json.dumps(dict(notes)).encode()
    longest = torch.tensor(len(text) if notes else 0, device=context.device)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    if not longest.item():
        return {}
    padded = np.frombuffer(text.ljust(int(longest.item())), dtype=np.uint8).copy()
    mine = torch.from_numpy(padded).to(context.device)
    everyones = [torch.empty_like(mine) for _ in range(context.world_size)]
    dist.all_gather(everyones, mine)
    merged: dict[str, str] = {}
    for one in reversed(everyones):
        merged |= json.loads(one.cpu().numpy().tobytes())
    return dict(sorted(merged.items()))


def all_true(flag: bool, context: ProcessContext) -> bool:
    """Whether the flag is set on every rank."""
    value = torch.tensor(int(flag), device=context.device)
    dist.all_reduce(value, op=dist.ReduceOp.MIN)
    return bool(value.item())


def same_everywhere(values: NDArray[np.int64], context: ProcessContext) -> bool:
    """Whether all ranks hold the same array, by comparing a hash."""
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()[:7]
    number = torch.tensor(int.from_bytes(digest, "big"), device=context.device)
    lowest, highest = number.clone(), number.clone()
    dist.all_reduce(lowest, op=dist.ReduceOp.MIN)
    dist.all_reduce(highest, op=dist.ReduceOp.MAX)
    return bool(lowest.item() == highest.item())
