"""Lloyd's iterations over points that stay on their ranks: what they exchange is sums.

All restarts go through one pass together, block by block.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.cpu_blocks import inertia_on_cpu, nearest_on_cpu, square_distances_on_cpu, sums_on_cpu
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.clustering.rows import Rows
from dcam_dist.clustering.torch_points import over_blocks

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
        now_RKP = centroid_RKP.astype(np.float32)
        sums = _pass(points, now_RKP, ranks, device, squares=bound is None)
        moved_RKP = sums.means(centroid_RKP)
        bound = TOLERANCE * sums.mean_variance() if bound is None else bound
        shift_R = np.square(moved_RKP - centroid_RKP).sum(axis=(1, 2))
        centroid_RKP = moved_RKP
        if (shift_R <= bound).all():
            break
    last = _pass(points, centroid_RKP.astype(np.float32), ranks, device, double=True)
    return last.means(centroid_RKP).astype(np.float32)


def inertia_and_sizes(
    points: Rows, centroid_RKP: Floats, ranks: Ranks, device: str
) -> tuple[Doubles, NDArray[np.int64]]:
    """Sum of squared distances to the nearest centroid (R,), and points of each cluster (R, K), of all ranks."""
    centroids = torch.from_numpy(centroid_RKP).to(device)
    found = torch.zeros(centroid_RKP.shape[0], 1 + centroid_RKP.shape[1], dtype=torch.float64, device=device)
    width = centroid_RKP.shape[0] * centroid_RKP.shape[1]
    for part in over_blocks(lambda block_NP: _inertia_of_block(block_NP, centroids), points, device, width=width):
        found += part
    total = ranks.sum(found.cpu().numpy())
    return total[:, 0], np.rint(total[:, 1:]).astype(np.int64)


def nearest(block_NP: Tensor, centroid_RKP: Tensor) -> Tensor:
    """The nearest centroid of each point for each restart, (R, n) int64; of equally near ones the first."""
    if block_NP.is_cuda:
        return _score(block_NP, centroid_RKP).argmin(dim=1)
    block, centroids = block_NP.numpy(), centroid_RKP.numpy()
    return torch.from_numpy(np.stack([nearest_on_cpu(block, centroid_KP) for centroid_KP in centroids]))


def square_distances(block_NP: Tensor, centroid_KP: Tensor, label_N: Tensor) -> Tensor:
    """Squared distance of each point to its centroid, (n,) float64: exactly 0 where they are the same."""
    if block_NP.is_cuda:
        return (block_NP - centroid_KP[label_N]).double().square().sum(dim=1)
    return torch.from_numpy(square_distances_on_cpu(block_NP.numpy(), centroid_KP.numpy(), label_N.numpy()))


@dataclass(frozen=True, eq=False)
class _Sums:
    """What a pass adds up, of all ranks: points of each cluster, their number, and the squares of all points."""

    sum_RKP: Doubles
    count_RK: Doubles
    squares: float

    def means(self, before_RKP: Doubles) -> Doubles:
        count_RK1 = self.count_RK[..., None]
        return np.where(count_RK1 > 0, self.sum_RKP / np.maximum(count_RK1, 1), before_RKP)

    def mean_variance(self) -> float:
        count = self.count_RK[0].sum()
        mean_P = self.sum_RKP[0].sum(axis=0) / count
        return max(0.0, float(self.squares / count - np.square(mean_P).sum()) / len(mean_P))


def _pass(
    points: Rows, centroid_RKP: Floats, ranks: Ranks, device: str, *, double: bool = False, squares: bool = False
) -> _Sums:
    """One look at all points.

    Args:
        points: This rank's.
        centroid_RKP: Where each restart stands.
        ranks: The other processes.
        device: Where the points are worked on.
        double: Whether a block is added up in float64; blocks always are.
        squares: Whether to add up the squares too.
    """
    restarts, clusters, axes = centroid_RKP.shape
    centroids = torch.from_numpy(centroid_RKP).to(device)

    def work(block_NP: Tensor) -> tuple[Tensor, Tensor | float]:
        return _sums_of_block(block_NP, centroids, double=double), _square_of_block(block_NP) if squares else 0.0

    found = torch.zeros(restarts, clusters, axes + 1, dtype=torch.float64, device=device)
    square = torch.zeros(1, dtype=torch.float64, device=device)
    for part, its_square in over_blocks(work, points, device, width=restarts * clusters):
        found += part
        square += its_square
    total = ranks.sum(torch.cat([found.flatten(), square]).cpu().numpy())
    found_RKS = total[:-1].reshape(restarts, clusters, axes + 1)
    return _Sums(found_RKS[..., :-1], found_RKS[..., -1], float(total[-1]))


def _sums_of_block(block_NP: Tensor, centroid_RKP: Tensor, *, double: bool) -> Tensor:
    """Sum and number of the points nearest to each centroid for each restart, (R, K, P + 1) float64."""
    if block_NP.is_cuda:
        return sums_on_gpu(block_NP.double() if double else block_NP, nearest(block_NP, centroid_RKP), centroid_RKP)
    return torch.from_numpy(sums_on_cpu(block_NP.numpy(), centroid_RKP.numpy(), np.float64 if double else np.float32))


def sums_on_gpu(summed_NP: Tensor, label_RN: Tensor, centroid_RKP: Tensor) -> Tensor:
    """The same by products: adding by index has no fixed order on a GPU."""
    chosen_RKN = summed_NP.new_zeros(*centroid_RKP.shape[:2], len(summed_NP)).scatter_(1, label_RN[:, None], 1.0)
    return torch.cat([chosen_RKN @ summed_NP, chosen_RKN.sum(dim=2, keepdim=True)], dim=2).double()


def _square_of_block(block_NP: Tensor) -> Tensor | float:
    """Sum of squares; on a CPU by a product that makes no array as large as the block."""
    if block_NP.is_cuda:
        return block_NP.square().sum(dtype=torch.float64)
    flat = block_NP.numpy().ravel()
    return float(flat @ flat)


def _inertia_of_block(block_NP: Tensor, centroid_RKP: Tensor) -> Tensor:
    """``inertia_on_cpu`` on a device."""
    if not block_NP.is_cuda:
        return torch.from_numpy(inertia_on_cpu(block_NP.numpy(), centroid_RKP.numpy()))
    rows = []
    for centroid_KP, label_N in zip(centroid_RKP, nearest(block_NP, centroid_RKP), strict=True):
        size_K = torch.bincount(label_N, minlength=len(centroid_KP)).double()
        rows.append(torch.cat([square_distances(block_NP, centroid_KP, label_N).sum()[None], size_K]))
    return torch.stack(rows)


def _score(block_NP: Tensor, centroid_RKP: Tensor) -> Tensor:
    """Squared distances less the points' own squares, (R, K, n)."""
    restarts, clusters, axes = centroid_RKP.shape
    flat = centroid_RKP.reshape(restarts * clusters, axes)
    square = flat.square().sum(dim=1, keepdim=True)
    return torch.addmm(square, flat, block_NP.T, alpha=-2).view(restarts, clusters, len(block_NP))
