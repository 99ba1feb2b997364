"""Lloyd's iterations over points that stay on their ranks: what they exchange is sums.

All restarts go through one pass together. A block's distances are one matrix product, and so few numbers remain of it
that the whole pass runs at the speed of reading the points.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.clustering.rows import Rows
from dcam_dist.clustering.torch_points import blocks

TOLERANCE = 1e-4
"""Of the points' mean variance: centroids that move less in all (squared) have converged, as in scikit-learn."""


def lloyd(points: Rows, start_RKP: Floats, iterations: int, ranks: Ranks, device: str) -> Floats:
    """Move centroids to the means of their points until they stay, for several starts at once.

    The last update is summed in float64, so that what is left of the order of sums is below a float32's rounding. A
    centroid without points stays where it is.

    Args:
        points: This rank's.
        start_RKP: First centroids of each restart.
        iterations: At most so many updates.
        ranks: The other processes.
        device: Where the points are worked on.

    Returns:
        The centroids of each restart.
    """
    centroid_RKP, bound = start_RKP.astype(np.float64), None
    for _ in range(iterations - 1):
        sums = _pass(points, centroid_RKP.astype(np.float32), ranks, device, torch.float32)
        moved_RKP = sums.means(centroid_RKP)
        bound = TOLERANCE * sums.mean_variance() if bound is None else bound
        shift_R = np.square(moved_RKP - centroid_RKP).sum(axis=(1, 2))
        centroid_RKP = moved_RKP
        if (shift_R <= bound).all():
            break
    last = _pass(points, centroid_RKP.astype(np.float32), ranks, device, torch.float64)
    return last.means(centroid_RKP).astype(np.float32)


def inertia_and_sizes(
    points: Rows, centroid_RKP: Floats, ranks: Ranks, device: str
) -> tuple[Doubles, NDArray[np.int64]]:
    """Sum of squared distances to the nearest centroid (R,), and points of each cluster (R, K), of all ranks."""
    restarts, clusters, _ = centroid_RKP.shape
    centroids = torch.from_numpy(centroid_RKP).to(device)
    found = torch.zeros(restarts, 1 + clusters, dtype=torch.float64, device=device)
    for block_NP in blocks(points, device):
        label_RN = nearest(block_NP, centroids)
        for restart in range(restarts):
            away_NP = block_NP - centroids[restart][label_RN[restart]]
            found[restart, 0] += away_NP.double().square().sum()
            found[restart, 1:] += torch.bincount(label_RN[restart], minlength=clusters)
    total = ranks.sum(found.cpu().numpy())
    return total[:, 0], np.rint(total[:, 1:]).astype(np.int64)


def nearest(block_NP: Tensor, centroid_RKP: Tensor) -> Tensor:
    """The nearest centroid of each point for each restart, (R, n) int64; of equally near ones the first."""
    return _score(block_NP, centroid_RKP).argmin(dim=1)


class _Sums:
    """What a pass adds up, of all ranks."""

    def __init__(self, sum_RKP: Doubles, count_RK: Doubles, squares: float) -> None:
        self.sum_RKP, self.count_RK, self.squares = sum_RKP, count_RK, squares

    def means(self, before_RKP: Doubles) -> Doubles:
        count_RK1 = self.count_RK[..., None]
        return np.where(count_RK1 > 0, self.sum_RKP / np.maximum(count_RK1, 1), before_RKP)

    def mean_variance(self) -> float:
        count = self.count_RK[0].sum()
        mean_P = self.sum_RKP[0].sum(axis=0) / count
        return max(0.0, float(self.squares / count - np.square(mean_P).sum()) / len(mean_P))


def _pass(points: Rows, centroid_RKP: Floats, ranks: Ranks, device: str, dtype: torch.dtype) -> _Sums:
    restarts, clusters, axes = centroid_RKP.shape
    centroids = torch.from_numpy(centroid_RKP).to(device)
    sums = torch.zeros(restarts, clusters, axes, dtype=torch.float64, device=device)
    counts = torch.zeros(restarts, clusters, dtype=torch.float64, device=device)
    squares = torch.zeros((), dtype=torch.float64, device=device)
    for block_NP in blocks(points, device):
        chosen_RKN = _one_hot(_score(block_NP, centroids))
        sums += _sum_by_cluster(chosen_RKN, block_NP.to(dtype))
        counts += chosen_RKN.sum(dim=2)
        squares += block_NP.square().sum(dtype=torch.float64)
    flat = torch.cat([sums.flatten(), counts.flatten(), squares[None]]).cpu().numpy()
    total = ranks.sum(flat)
    split = restarts * clusters * axes
    return _Sums(
        total[:split].reshape(restarts, clusters, axes), total[split:-1].reshape(restarts, clusters), float(total[-1])
    )


def _score(block_NP: Tensor, centroid_RKP: Tensor) -> Tensor:
    """Squared distances less the points' own squares, (R, K, n): clusters before points, for fast minima."""
    restarts, clusters, axes = centroid_RKP.shape
    flat = centroid_RKP.reshape(restarts * clusters, axes)
    square = flat.square().sum(dim=1, keepdim=True)
    return torch.addmm(square, flat, block_NP.T, alpha=-2).view(restarts, clusters, len(block_NP))


def _one_hot(score_RKN: Tensor) -> Tensor:
    """1 at the smallest score of each point, of equal ones at the first. On a CPU it takes the place of the scores."""
    if score_RKN.is_cuda:  # a look at the sum, as below, would wait for the device in every block
        return torch.zeros_like(score_RKN).scatter_(1, score_RKN.argmin(dim=1, keepdim=True), 1.0)
    chosen_RKN = score_RKN.eq_(score_RKN.amin(dim=1, keepdim=True))
    if float(chosen_RKN.sum()) == len(chosen_RKN) * chosen_RKN.shape[2]:
        return chosen_RKN
    first_RKN = chosen_RKN.argmax(dim=1, keepdim=True)  # some point is as near to one centroid as to another
    return torch.zeros_like(chosen_RKN).scatter_(1, first_RKN, 1.0)


def _sum_by_cluster(chosen_RKN: Tensor, block_NP: Tensor) -> Tensor:
    restarts, clusters, count = chosen_RKN.shape
    if block_NP.is_cuda:  # adding by index has no fixed order there
        return (chosen_RKN.reshape(-1, count).to(block_NP.dtype) @ block_NP).view(restarts, clusters, -1)
    label_RN = torch.einsum("k,rkn->rn", torch.arange(clusters, dtype=torch.float32), chosen_RKN).long()
    sums = block_NP.new_zeros(restarts, clusters, block_NP.shape[1])
    for restart in range(restarts):
        sums[restart].index_add_(0, label_RN[restart], block_NP)
    return sums
