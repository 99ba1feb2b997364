"""Which cases an epoch draws, in which order: a function of the seed and the labels, never of the number of ranks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw_batches(
    label_N: NDArray[np.int64], *, batch_size: int, passes: int, balance: bool, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw the cases of one epoch.

    ``passes`` times the number of labelled cases is drawn, rounded up to whole batches. Balanced, every non-empty
    cluster gets the same number of draws (±1) and within a cluster every case the same (±1); unbalanced, every case
    gets the same (±1). Unlabelled cases (negative) are never drawn.

    Args:
        label_N: Pseudo-label of each case.
        batch_size: Cases in a global batch.
        passes: Passes over the cases.
        balance: Whether clusters are drawn equally.
        rng: Source of the order.

    Returns:
        Row indices into ``label_N`` of shape (steps, batch_size).

    Raises:
        ValueError: When no case has a label.
    """
    labelled = np.flatnonzero(label_N >= 0)
    if not len(labelled):
        raise ValueError("no case has a label to train on")
    steps = -(-passes * len(labelled) // batch_size)
    draws = steps * batch_size
    groups = [np.flatnonzero(label_N == label) for label in np.unique(label_N[labelled])] if balance else [labelled]
    extra = rng.permutation(len(groups)) < draws % len(groups)
    drawn = [_cycle(group, draws // len(groups) + int(more), rng) for group, more in zip(groups, extra, strict=True)]
    order = rng.permutation(np.concatenate(drawn)) if balance else drawn[0]
    return order.reshape(steps, batch_size)


def without_rows(batch_SB: NDArray[np.int64], lost_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Whole batches again from the draws of some batches, in their order, without those of the lost cases.

    Args:
        batch_SB: Row indices, batch by batch.
        lost_N: Which rows are lost.

    Returns:
        Row indices of shape (steps, batch size). The last batch is filled up from the first draws that remain; there
        is no batch when none remains.
    """
    return in_batches(batch_SB[~lost_N[batch_SB]], batch_SB.shape[1])


def in_batches(row_N: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Whole batches of a size from some draws, in their order; the last is filled up from the first draws."""
    return np.resize(row_N, (-(-len(row_N) // size), size))


def rank_share(batch: Sequence[int], rank: int, world_size: int) -> list[int]:
    """This rank's cases of a global batch: every ``world_size``-th, so that shares differ by one at most."""
    return list(batch[rank::world_size])


def _cycle(rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    rounds = [rng.permutation(rows) for _ in range(-(-count // len(rows)))]
    return np.concatenate([*rounds, rows[:0]])[:count]
