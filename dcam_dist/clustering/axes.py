"""What every backend does alike with the axes of a PCA: how many are kept, and which way they point."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.model import ClusterModel
from dcam_dist.config.schema import ClusteringConfig

Doubles = NDArray[np.float64]

EQUAL = 1e-6
"""Loadings that differ by less, relatively, are equally large."""


def spread(count: int, mean_C: Doubles, variance_C: Doubles) -> Doubles:
    """What a channel is divided by: its standard deviation, 1 where what varies is rounding alone.

    The bound is scikit-learn's, of the error of a variance summed in float64.

    Args:
        count: Rows.
        mean_C: Their mean.
        variance_C: Their population variance.
    """
    rounding = count * np.finfo(np.float64).eps
    constant_C = variance_C <= rounding * variance_C + (rounding * mean_C) ** 2
    return np.where(constant_C, 1.0, np.sqrt(variance_C))


def kept_components(variance_P: Doubles, wanted: int | float) -> int:
    """How many axes are kept.

    Args:
        variance_P: Variance along each axis, falling; there are no more of them than rows or channels.
        wanted: Their number, or the share of the variance, below 1, that they must reach together.

    Returns:
        At least 1, at most all.
    """
    if isinstance(wanted, int):
        return min(wanted, len(variance_P))
    total = variance_P.sum()
    if total <= 0:  # all rows are the same
        return 1
    return min(int(np.searchsorted(np.cumsum(variance_P) / total, wanted)) + 1, len(variance_P))


def with_fixed_signs(components_PC: Doubles) -> Doubles:
    """The axes, the largest loading of each positive: an eigenvector's sign is arbitrary.

    Of loadings that are equally large but for rounding, as those of two channels always are, the first decides.
    """
    size_PC = np.abs(components_PC)
    largest_P = (size_PC >= (1 - EQUAL) * size_PC.max(axis=1, keepdims=True)).argmax(axis=1)
    sign_P = np.where(components_PC[np.arange(len(components_PC)), largest_P] < 0, -1.0, 1.0)
    return components_PC * sign_P[:, None]


def projection(
    mean_C: Doubles, scale_C: Doubles, components_PC: Doubles, variance_P: Doubles, settings: ClusteringConfig
) -> ClusterModel:
    """A model without centroids yet, of all axes that a PCA has found."""
    kept = kept_components(variance_P, settings.pca_components)
    return ClusterModel(
        mean_C=mean_C.astype(np.float32),
        scale_C=scale_C.astype(np.float32),
        components_PC=with_fixed_signs(components_PC[:kept]).astype(np.float32),
        variance_P=variance_P[:kept].astype(np.float32),
        centroid_KP=np.zeros((settings.clusters, kept), dtype=np.float32),
        whiten=settings.whiten,
        l2_normalize=settings.l2_normalize,
    )
