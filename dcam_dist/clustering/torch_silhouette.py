"""The silhouette of points that stay on their ranks, of all or of a sample; `metrics.silhouette` is the reference.

It does not depend on the number of ranks, not even in its rounding.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.clustering.rows import Rows
from dcam_dist.clustering.torch_seeding import exponentials
from dcam_dist.clustering.torch_validity import Labels, one_hot, with_cluster

DISTANCES = 2**20
"""Distances between points that are in memory at once."""


def silhouette(
    points: Rows, labels: Labels, clusters: int, ranks: Ranks, device: str, *, max_cases: int, seed: int
) -> float:
    """Mean of (b − a) / max(a, b); see ``metrics.silhouette`` for its conventions. All ranks call together.

    Up to ``max_cases`` points every one is compared with every other. Above that the score is that of a sample of so
    many, drawn by a hash of each point's place among those of all ranks. Every rank gathers the sample and compares
    its share of it with the whole.

    Args:
        points: This rank's, in the space that was clustered; finite.
        labels: Their clusters.
        clusters: K; ids are below it.
        ranks: The other processes.
        device: Where the points are worked on.
        max_cases: Above this many points, of all ranks, a sample of this size is scored.
        seed: Of the sample.
    """
    mine = _drawn_here(points, labels, ranks, device, max_cases, seed)
    drawn = _smallest(ranks.all_rows(mine), max_cases)
    label_M = drawn[:, 1].astype(np.int64)
    if not 2 <= len(np.unique(label_M)) < len(drawn):
        return float("nan")
    point_MP, chosen_MK = torch.from_numpy(drawn[:, 2:]).to(device), one_hot(torch.from_numpy(label_M), clusters)
    step = max(1, DISTANCES // len(drawn))  # the pieces are the same on any number of ranks, and so is their rounding
    starts = np.array_split(np.arange(0, len(drawn), step), ranks.size)[ranks.rank]
    pieces = [_scores(point_MP, chosen_MK.to(device), slice(start, start + step)) for start in starts.tolist()]
    return float(ranks.all_rows(np.concatenate([np.empty((0, 1)), *pieces])).mean())


def _drawn_here(points: Rows, labels: Labels, ranks: Ranks, device: str, count: int, seed: int) -> Doubles:
    """The ``count`` of this rank's points with the smallest keys, in their order: key, cluster, point."""
    rows = ranks.all_rows(np.array([[points.shape[0]]], dtype=np.int64))[:, 0]
    first = int(rows[: ranks.rank].sum())
    best = np.empty((0, 2 + points.shape[1]))
    for place_N, label_N, point_NP in with_cluster(points, labels, device):
        key_N = _keys(first + place_N, seed)
        near = np.flatnonzero(key_N < best[:, 0].max()) if len(best) == count else np.arange(len(key_N))
        if len(near):
            at = torch.from_numpy(near).to(point_NP.device)
            new = np.column_stack([key_N[near], label_N[at].cpu().numpy(), point_NP[at].cpu().numpy()])
            best = _smallest(np.concatenate([best, new]), count)
    return best


def _keys(place_N: NDArray[np.int64], seed: int) -> Doubles:
    if not len(place_N):
        return np.empty(0)
    start, end = int(place_N[0]), int(place_N[-1]) + 1
    return exponentials(start, end - start, seed)[place_N - start]


def _smallest(rows: Doubles, count: int) -> Doubles:
    return rows[np.sort(np.argsort(rows[:, 0], kind="stable")[:count])]


def _scores(point_MP: Tensor, chosen_MK: Tensor, piece: slice) -> Doubles:
    """The silhouettes of some points of the sample, (n, 1)."""
    distance_NM = torch.cdist(point_MP[piece], point_MP, compute_mode="donot_use_mm_for_euclid_dist")
    count_K, own_NK = chosen_MK.sum(dim=0), chosen_MK[piece].bool()
    sum_NK = distance_NM @ chosen_MK
    mean_NK = (sum_NK / count_K).masked_fill(own_NK | (count_K == 0), float("inf"))
    others_N = (own_NK * (count_K - 1)).sum(dim=1)
    a_N, b_N = sum_NK[own_NK] / others_N, mean_NK.amin(dim=1)
    scale_N = torch.maximum(a_N, b_N)
    defined = (others_N > 0) & (scale_N > 0)  # a cluster of one scores 0; so does a point among its like
    return torch.where(defined, (b_N - a_N) / scale_N, 0.0).cpu().numpy()[:, None]
