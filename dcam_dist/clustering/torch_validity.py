"""Davies-Bouldin and Caliński-Harabasz of points that stay on their ranks; `metrics.internal` is the reference.

The conventions are that module's: points without a cluster are left out, clusters without a point do not count, an
undefined score is NaN. The scores are the same on every rank, whose number changes no more than rounding in float64.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.clustering.rows import Rows
from dcam_dist.clustering.torch_lloyd import nearest
from dcam_dist.clustering.torch_points import blocks
from dcam_dist.metrics.ids import Ids, checked_ids
from dcam_dist.metrics.internal import calinski_harabasz_of, davies_bouldin_of
from dcam_dist.types import UNASSIGNED

Labels = Callable[[int, Tensor], Tensor]
"""From a block's place among this rank's points and the block (n, P) to its clusters, (n,) int64."""


@dataclass(frozen=True, eq=False)
class ClusterSpread:
    """Of the clusters, of all ranks, that have a point; in the order of their ids.

    Attributes:
        count_K: Their points.
        mean_KP: Their means.
        distance_K: Mean distance of their points to these.
        within: Sum of the squared distances of all points to these.
    """

    count_K: NDArray[np.int64]
    mean_KP: Doubles
    distance_K: Doubles
    within: float

    def davies_bouldin(self) -> float:
        """See ``metrics.davies_bouldin``."""
        return davies_bouldin_of(self.mean_KP, self.distance_K)

    def calinski_harabasz(self) -> float:
        """See ``metrics.calinski_harabasz``."""
        return calinski_harabasz_of(self.count_K, self.mean_KP, self.within)


def nearest_of(centroid_KP: Floats) -> Labels:
    """Each point is in the cluster of its nearest centroid."""

    def labels(_: int, block_NP: Tensor) -> Tensor:
        return nearest(block_NP, torch.from_numpy(centroid_KP).to(block_NP.device)[None])[0]

    return labels


def known(label_N: Ids) -> Labels:
    """The clusters of this rank's points are known; ``UNASSIGNED`` where a point has none.

    Raises:
        ValueError: On another negative id.
    """
    known_N = torch.from_numpy(checked_ids(label_N, None, "cluster"))

    def labels(start: int, block_NP: Tensor) -> Tensor:
        return known_N[start : start + len(block_NP)].to(block_NP.device)

    return labels


def cluster_spread(points: Rows, labels: Labels, clusters: int, ranks: Ranks, device: str) -> ClusterSpread:
    """Two passes over the points: their means, then the distances to these. All ranks call together.

    Args:
        points: This rank's, in the space that was clustered; finite.
        labels: Their clusters.
        clusters: K; ids are below it.
        ranks: The other processes.
        device: Where the points are worked on.
    """
    sums = torch.zeros(clusters, 1 + points.shape[1], dtype=torch.float64, device=device)
    for _, label_N, point_NP in with_cluster(points, labels, device):
        chosen_KN = one_hot(label_N, clusters).T
        sums[:, 0] += chosen_KN.sum(dim=1)
        sums[:, 1:] += chosen_KN @ point_NP
    count_K, sum_KP = np.split(ranks.sum(sums.cpu().numpy()), [1], axis=1)
    mean_KP = sum_KP / np.maximum(count_K, 1)
    means, away = torch.from_numpy(mean_KP).to(device), torch.zeros(clusters, 2, dtype=torch.float64, device=device)
    for _, label_N, point_NP in with_cluster(points, labels, device):
        square_N = (point_NP - means[label_N]).square().sum(dim=1)
        away += one_hot(label_N, clusters).T @ torch.stack([square_N.sqrt(), square_N], dim=1)
    distance_K, square_K = ranks.sum(away.cpu().numpy()).T
    some = count_K[:, 0] > 0
    count_K = count_K[some, 0]
    return ClusterSpread(
        np.rint(count_K).astype(np.int64), mean_KP[some], distance_K[some] / count_K, float(square_K.sum())
    )


def with_cluster(points: Rows, labels: Labels, device: str) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """Block by block the points that have a cluster: their places among this rank's, clusters, and float64 points."""
    start = 0
    for block_NP in blocks(points, device):
        label_N = labels(start, block_NP)
        some = torch.nonzero(label_N != UNASSIGNED)[:, 0]
        yield some.cpu().numpy() + start, label_N[some], block_NP[some].double()
        start += len(block_NP)


def one_hot(label_N: Tensor, clusters: int) -> Tensor:
    """1 at each point's cluster, (n, K) float64."""
    zeros_NK = torch.zeros(len(label_N), clusters, dtype=torch.float64, device=label_N.device)
    return zeros_NK.scatter_(1, label_N[:, None], 1.0)
