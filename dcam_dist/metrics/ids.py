"""Tables of cluster ids and labels: integers from 0, ``UNASSIGNED`` where a case has none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.types import UNASSIGNED

Ids = NDArray[np.integer[Any]]
"""Cluster ids, labels or predicted labels as callers hold them: any integer type."""


def checked_ids(id_N: Ids, count: int | None, name: str) -> NDArray[np.int64]:
    """The ids as int64, each ``UNASSIGNED`` or in ``0 … count - 1`` (no upper bound without ``count``).

    Raises:
        ValueError: When the array is not one-dimensional, not of integers, or holds another id; names ``name``.
    """
    array = np.asarray(id_N)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(
            f"{name} ids must be a one-dimensional integer array, not {array.dtype} of shape {array.shape}"
        )
    ids = array.astype(np.int64)
    outside = (ids != UNASSIGNED) & ((ids < 0) | (ids >= (np.iinfo(np.int64).max if count is None else count)))
    if outside.any():
        allowed = "0 or more" if count is None else f"0 to {count - 1}"
        raise ValueError(f"{name} id {ids[outside][0]} must be {allowed}, or {UNASSIGNED} for none")
    return ids


def checked_pair(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Refuse two tables of different cases.

    Raises:
        ValueError: When the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"the tables must hold the same cases in the same order, not {len(first)} and {len(second)}")


def apply_mapping(id_N: Ids, mapping_K: Ids) -> NDArray[np.int64]:
    """``mapping_K[id]`` of each case; ``UNASSIGNED`` stays.

    Args:
        id_N: Cluster ids below K.
        mapping_K: What each cluster becomes: a label, another cluster id, or ``UNASSIGNED``.

    Raises:
        ValueError: When an id is outside the mapping.
    """
    mapping = np.asarray(mapping_K, dtype=np.int64)
    ids = checked_ids(id_N, len(mapping), "cluster")
    # The entry that UNASSIGNED looks up: appended last, reached through -1.
    return np.append(mapping, UNASSIGNED)[np.where(ids == UNASSIGNED, -1, ids)]
