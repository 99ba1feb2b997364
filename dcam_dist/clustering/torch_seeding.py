"""First centroids for points that stay on their ranks: k-means‖ (Bahmani et al. 2012, PVLDB 5:622).

A few rounds draw points far from those drawn so far; each of these candidates weighs as many points as are nearest to
it, and k-means++ among the candidates gives the centroids. A round draws exactly so many points without replacement,
by the smallest of −log(u)/d² (Efraimidis & Spirakis 2006), where Bahmani throws a coin for each: a round is one pass.
Only drawn points leave their rank. The number u of a point is a hash of its place among the points of all ranks, so
the draw does not depend on how they are spread.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus
from torch import Tensor

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.clustering.rows import Rows
from dcam_dist.clustering.torch_lloyd import nearest, square_distances
from dcam_dist.clustering.torch_points import blocks

ROUNDS = 5
OVERSAMPLING = 2
"""Times the clusters: points drawn in each round. Bahmani et al. found 5 rounds of 2·K to be enough."""


@dataclass(frozen=True, eq=False)
class _Place:
    """Where this rank's points stand among all, and where they are worked on."""

    points: Rows
    ranks: Ranks
    device: str
    first: int

    def blocks(self, seed: int) -> Iterator[tuple[Tensor, NDArray[np.float64]]]:
        """Each block with its points' −log(u), which depend on the seed."""
        start = self.first
        for block_NP in blocks(self.points, self.device):
            yield block_NP, exponentials(start, len(block_NP), seed)
            start += len(block_NP)


def seed_centroids(
    points: Rows, clusters: int, restarts: int, seed: int, ranks: Ranks, device: str, *, random: bool = False
) -> Floats:
    """First centroids of each restart, (R, K, P), the same on every rank.

    Args:
        points: This rank's; all ranks together have at least as many as there are clusters.
        clusters: K.
        restarts: R.
        seed: Of all draws.
        ranks: The other processes.
        device: Where the points are worked on.
        random: Take random points, not far ones.
    """
    counts = ranks.all_rows(np.array([[points.shape[0]]], dtype=np.int64))[:, 0]
    place = _Place(points, ranks, device, int(counts[: ranks.rank].sum()))
    if random:
        return np.stack([_draw(place, clusters, _seed(seed, restart), None) for restart in range(restarts)])
    candidate_MP = _draw(place, clusters, _seed(seed, 0), None)
    for round_ in range(1, ROUNDS + 1):
        drawn = _draw(place, OVERSAMPLING * clusters, _seed(seed, round_), candidate_MP)
        candidate_MP = np.concatenate([candidate_MP, drawn])
    weight_M = _weights(place, candidate_MP)
    chosen_RKP = np.zeros((restarts, clusters, points.shape[1]), dtype=np.float32)
    if ranks.rank == 0:
        for restart in range(restarts):
            drawn_by = np.random.RandomState(_seed(seed, ROUNDS + 1 + restart) % 2**32)
            chosen_RKP[restart], _ = kmeans_plusplus(
                candidate_MP, clusters, sample_weight=weight_M, random_state=drawn_by
            )
    return ranks.first(chosen_RKP)


def exponentials(start: int, count: int, seed: int) -> NDArray[np.float64]:
    """−log(u) for the points ``start`` … ``start + count``, u uniform in (0, 1): splitmix64 (Steele et al. 2014)."""
    state = np.arange(start, start + count, dtype=np.uint64) + np.uint64(1)
    state = state * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    return -np.log(((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def _draw(place: _Place, count: int, seed: int, candidate_MP: Floats | None) -> Floats:
    """The ``count`` points, of all ranks, of the smallest keys; far points have smaller ones."""
    axes = place.points.shape[1]
    best = np.empty((0, 1 + axes))
    for block_NP, drawn_N in place.blocks(seed):
        key_N = drawn_N if candidate_MP is None else _over(drawn_N, _square_distances(block_NP, candidate_MP)[0])
        bound = best[-1, 0] if len(best) == count else np.inf
        near = np.flatnonzero(key_N < bound)
        if len(near):
            rows = np.column_stack([key_N[near], block_NP[torch.from_numpy(near).to(block_NP.device)].cpu().numpy()])
            best = _smallest(np.concatenate([best, rows]), count)
    drawn = _smallest(place.ranks.all_rows(best), count)
    return drawn[:, 1:].astype(np.float32)


def _over(key_N: Doubles, square_N: Doubles) -> Doubles:
    """Keys of points with weights; a point that is a candidate already has none, and is never drawn."""
    return np.divide(key_N, square_N, out=np.full_like(key_N, np.inf), where=square_N > 0)


def _smallest(rows: Doubles, count: int) -> Doubles:
    return rows[np.argsort(rows[:, 0], kind="stable")[:count]]


def _weights(place: _Place, candidate_MP: Floats) -> Doubles:
    """Points, of all ranks, nearest to each candidate."""
    weight_M = np.zeros(len(candidate_MP))
    for block_NP in blocks(place.points, place.device):
        weight_M += np.bincount(_square_distances(block_NP, candidate_MP)[1], minlength=len(candidate_MP))
    return place.ranks.sum(weight_M)


def _square_distances(block_NP: Tensor, candidate_MP: Floats) -> tuple[Doubles, NDArray[np.int64]]:
    """Squared distance to the nearest candidate and its index, (n,) each."""
    candidates = torch.from_numpy(candidate_MP).to(block_NP.device)
    near_N = nearest(block_NP, candidates[None])[0]
    return square_distances(block_NP, candidates, near_N).cpu().numpy(), near_N.cpu().numpy()


def _seed(seed: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0])
