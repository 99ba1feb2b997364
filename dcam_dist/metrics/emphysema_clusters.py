"""How the low attenuation areas of a lung are put together: few large ones, or many small ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_CLUSTERS = 20
LEAST_SIZES = 5
"""A line through fewer clusters, or fewer different sizes, says nothing."""

Mask = NDArray[np.bool_]


def cluster_exponent(low_DHW: Mask) -> float:
    """The exponent D of the sizes of low attenuation clusters: smaller where they have grown together.

    The number of clusters of at least S voxels is taken to be N(≥S) = K · S^−D (Mishima et al., PNAS 1999, on slices);
    D is minus the slope of the least-squares line through (log S, log N(≥S)), one point for each size that occurs, from
    one voxel on. Clusters here are in three dimensions, of voxels that share a face. Noise makes small clusters, so D
    compares scans of one kernel and voxel size alone.

    Args:
        low_DHW: The lung voxels below −950 HU, shape (D, H, W).

    Returns:
        D; NaN with fewer than ``LEAST_CLUSTERS`` clusters or ``LEAST_SIZES`` different sizes.
    """
    sizes_N = cluster_sizes(low_DHW)
    size_S, count_S = np.unique(sizes_N, return_counts=True)
    if len(sizes_N) < LEAST_CLUSTERS or len(size_S) < LEAST_SIZES:
        return float("nan")
    at_least_S = np.cumsum(count_S[::-1])[::-1]
    x_S, y_S = np.log(size_S), np.log(at_least_S)
    x_S = x_S - x_S.mean()
    return float(-(x_S @ y_S) / (x_S @ x_S))


def cluster_sizes(low_DHW: Mask) -> NDArray[np.int64]:
    """Voxels of each cluster of voxels that share a face, in no order."""
    label_DHW: NDArray[Any]
    label_DHW, found = ndimage.label(low_DHW)  # its own structure joins faces
    return np.bincount(label_DHW[low_DHW], minlength=found + 1)[1:]
