"""The few exchanges between ranks. Tensors only: nothing is pickled.

All of them go over the control group on CPU tensors (see ``control``): none waits for a GPU, but for copying a tensor
that is there. Each raises RankLost on all ranks when the ranks are at different exchanges, and on those that are left
when a rank does not come in time or is gone.
"""

import hashlib
import json
import struct
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.distributed.context import ProcessContext
from dcam_dist.distributed.control import from_first, gathered, meet, summed


def gather_rows(rows_NC: Tensor, indices_N: Tensor, total: int) -> Tensor:
    """Bring the rows of all ranks together, in order, on every rank.

    Args:
        rows_NC: This rank's rows; ranks may have different numbers of them, also none.
        indices_N: int64, where each row belongs in the result. Every index below ``total`` is on exactly one rank.
        total: Rows in all.

    Returns:
        (total, C), the same on every rank.
    """
    widest = max(meet(f"gathering {total} rows of {rows_NC.shape[1]} {rows_NC.dtype}", len(rows_NC)))
    padded = torch.zeros(widest, rows_NC.shape[1], dtype=rows_NC.dtype)
    padded[: len(rows_NC)] = rows_NC.cpu()
    places = torch.full((widest,), -1, dtype=torch.int64)
    places[: len(indices_N)] = indices_N.cpu()
    rows, order = gathered(padded).flatten(0, 1), gathered(places).flatten()
    result = rows.new_empty(total, rows.shape[1])
    result[order[order >= 0]] = rows[order >= 0]
    return result.to(rows_NC.device)


def broadcast_array(values: NDArray[np.int64], context: ProcessContext) -> NDArray[np.int64]:
    """Rank 0's int64 array on every rank; all ranks pass one of the same shape."""
    meet(f"spreading {values.shape} numbers")
    return from_first(torch.from_numpy(np.ascontiguousarray(values))).numpy()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, on every rank."""
    meet(f"summing {tuple(values.shape)} {values.dtype}")
    return summed(values.cpu()).to(values.device)


def max_over_ranks(value: float, context: ProcessContext) -> float:
    """The largest of a number over all ranks, on every rank."""
    bits = meet("taking a maximum", struct.unpack("<q", struct.pack("<d", value))[0])
    return max(float(struct.unpack("<d", struct.pack("<q", one))[0]) for one in bits)


def share_notes(notes: Mapping[str, str], context: ProcessContext) -> dict[str, str]:
    """Bring short notes of all ranks together: the same table in the same order on every rank.

    What one rank alone has met (a damaged case, a request to stop) becomes what all know. All ranks call together, at
    each place where they could act on it. While nobody has a note it costs one all-gather of two numbers.

    Args:
        notes: This rank's notes by name; of two ranks' notes of one name the lower rank's is kept.
        context: This process.

    Returns:
        Every rank's notes, by name in alphabetical order.
    """
    text = json.dumps(dict(notes)).encode()
    longest = max(meet("sharing notes", len(text) if notes else 0))
    if not longest:
        return {}
    padded = np.frombuffer(text.ljust(longest), dtype=np.uint8).copy()
    merged: dict[str, str] = {}
    for one in reversed(gathered(torch.from_numpy(padded))):
        merged |= json.loads(one.numpy().tobytes())
    return dict(sorted(merged.items()))


def all_true(flag: bool, context: ProcessContext) -> bool:
    """Whether the flag is set on every rank."""
    return all(meet("asking all", int(flag)))


def same_everywhere(values: NDArray[np.int64], context: ProcessContext) -> bool:
    """Whether all ranks hold the same array, by comparing a hash."""
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()[:7]
    return len(set(meet("comparing", int.from_bytes(digest, "big")))) == 1
