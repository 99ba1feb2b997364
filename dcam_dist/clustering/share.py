"""A clustering that rank 0 makes alone, brought to all ranks."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from dcam_dist.clustering.backend import ClusterFit
from dcam_dist.clustering.model import ClusterModel
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.config.schema import ClusteringConfig


def fit_on_first(
    backend: str, fit: Callable[[], ClusterFit], shape: tuple[int, ...], settings: ClusteringConfig, ranks: Ranks
) -> ClusterFit:
    """Fit on rank 0. All ranks call together.

    Args:
        backend: Its name.
        fit: Called on rank 0 alone.
        shape: Rows, of all ranks, and channels.
        settings: Of the clustering.
        ranks: The other processes.
    """
    if ranks.size == 1:
        return fit()
    made = fit() if ranks.rank == 0 else None
    figures = [0.0] * 3 if made is None else [len(made.model.components_PC), made.inertia, made.repaired]
    kept, inertia, repaired = ranks.first(np.array(figures)).tolist()
    size_K = np.zeros(settings.clusters, dtype=np.int64) if made is None else made.size_K
    model = share_model(_empty(int(kept), shape[1], settings) if made is None else made.model, ranks)
    return ClusterFit(model, ranks.first(size_K), inertia, int(repaired), backend)


def share_model(model: ClusterModel, ranks: Ranks) -> ClusterModel:
    """Rank 0's model; all ranks pass one of the same shapes."""
    arrays: dict[str, Any] = {field.name: getattr(model, field.name) for field in fields(model)}
    shared: dict[str, Any] = {name: ranks.first(a) for name, a in arrays.items() if isinstance(a, np.ndarray)}
    return replace(model, **shared)


def _empty(kept: int, channels: int, settings: ClusteringConfig) -> ClusterModel:
    return ClusterModel(
        mean_C=np.zeros(channels, np.float32),
        scale_C=np.zeros(channels, np.float32),
        components_PC=np.zeros((kept, channels), np.float32),
        variance_P=np.zeros(kept, np.float32),
        centroid_KP=np.zeros((settings.clusters, kept), np.float32),
        whiten=settings.whiten,
        l2_normalize=settings.l2_normalize,
    )
