"""Mean, spread and principal axes of rows that stay on their ranks: one pass, one sum over the ranks."""

from dataclasses import dataclass

import numpy as np
import torch

from dcam_dist.clustering.axes import Doubles, projection, spread
from dcam_dist.clustering.backend import refuse_not_finite, refuse_too_few
from dcam_dist.clustering.model import ClusterModel, Floats
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.clustering.rows import Rows
from dcam_dist.clustering.share import share_model
from dcam_dist.clustering.torch_points import blocks
from dcam_dist.config.schema import ClusteringConfig


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the rows of all ranks.

    Attributes:
        count: Rows.
        mean_C: Their mean.
        covariance_CC: Population covariance.
    """

    count: int
    mean_C: Doubles
    covariance_CC: Doubles


def moments_of(rows: Rows, settings: ClusteringConfig, ranks: Ranks, device: str) -> Moments:
    """Mean and covariance, summed in float64 about a provisional mean, so that large means cost no digits.

    Raises:
        DataError, Diverged: See ``ClusterBackend.fit``.
    """
    counts = ranks.all_rows(np.array([[rows.shape[0]]], dtype=np.int64))[:, 0]
    refuse_too_few(int(counts.sum()), settings)
    channels = rows.shape[1]
    shift_C = _provisional_mean(rows, ranks)
    sums_1C = torch.zeros(channels, dtype=torch.float64, device=device)
    scatter_CC = torch.zeros(channels, channels, dtype=torch.float64, device=device)
    shift_1C = torch.from_numpy(shift_C)[None].to(device)
    broken, first, start = 0, 0, int(counts[: ranks.rank].sum())
    buffer_NC = shift_1C[:0]
    for block_NC in blocks(rows, device):
        if len(block_NC) > len(buffer_NC):  # one array for all blocks: memory freed is not always returned
            buffer_NC = shift_1C.new_empty(block_NC.shape)
        centred_NC = torch.sub(block_NC, shift_1C, out=buffer_NC[: len(block_NC)])
        bad = (~centred_NC.sum(dim=1).isfinite()).nonzero()[:, 0]  # float32 numbers cannot overflow a float64 sum
        first = start + int(bad[0]) if len(bad) and not broken else first
        broken, start = broken + len(bad), start + len(block_NC)
        sums_1C += centred_NC.sum(dim=0)
        scatter_CC += centred_NC.T @ centred_NC
    _refuse_broken(broken, first, ranks)
    sums = ranks.sum(np.concatenate([sums_1C.cpu().numpy(), scatter_CC.cpu().numpy().ravel()]))
    offset_C, count = sums[:channels] / counts.sum(), int(counts.sum())
    covariance_CC = sums[channels:].reshape(channels, channels) / count - np.outer(offset_C, offset_C)
    return Moments(count, shift_C + offset_C, covariance_CC)


def principal_axes(moments: Moments, settings: ClusteringConfig, ranks: Ranks) -> ClusterModel:
    """Scaler and PCA of the moments; a model without centroids yet, rank 0's on every rank.

    The eigenvectors of the correlation matrix are the principal axes of the scaled rows.
    """
    variance_C = np.clip(np.diag(moments.covariance_CC), 0, None)
    scale_C = spread(moments.count, moments.mean_C, variance_C)
    eigenvalue_C, eigenvector_CC = np.linalg.eigh(moments.covariance_CC / np.outer(scale_C, scale_C))
    most = min(moments.count, len(scale_C))
    variance_P = np.clip(eigenvalue_C[::-1][:most], 0, None) * moments.count / max(1, moments.count - 1)
    model = projection(moments.mean_C, scale_C, eigenvector_CC[:, ::-1].T[:most], variance_P, settings)
    return share_model(model, ranks)


def _provisional_mean(rows: Rows, ranks: Ranks) -> Doubles:
    """The mean of the first rows that a rank has."""
    head: Floats = next(rows.chunks(), np.zeros((0, rows.shape[1]), np.float32))
    finite = head[np.isfinite(head).all(axis=1)]
    mean_C = finite.mean(axis=0, dtype=np.float64) if len(finite) else np.zeros(rows.shape[1])
    return ranks.first(mean_C)


def _refuse_broken(broken: int, first: int, ranks: Ranks) -> None:
    found = ranks.all_rows(np.array([[broken, first]], dtype=np.int64))
    with_some = found[found[:, 0] > 0]
    refuse_not_finite(int(found[:, 0].sum()), int(with_some[0, 1]) if len(with_some) else 0)
