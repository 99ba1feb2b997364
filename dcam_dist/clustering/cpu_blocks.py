"""What is done with a block of points on a CPU: nearest centroids, distances to them, sums by cluster.

NumPy and SciPy, not torch. A few centroids times a long block take MKL, torch's library, three times as long as
OpenBLAS, NumPy's, takes for a batch of small products; adding by index takes torch four times as long as a sparse
product takes SciPy (8192 points of 64 channels and 6 centroids on an AMD EPYC 9004; ``benchmarks/clustering.py``).
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.model import Floats

FEW = 16
"""Up to so many centroids are multiplied from the left: clusters before points, for fast minima over the clusters."""
FEW_SCORES, FEW_SCORES_OF_NARROW, NARROW = 1024, 8192, 32
"""Scores of a tile then: OpenBLAS has a kernel for at most 1200 of them, for points of 32 axes or more."""
ONE_THREAD = os.environ.get("OPENBLAS_NUM_THREADS", os.environ.get("OMP_NUM_THREADS")) == "1"
"""Whether OpenBLAS has a single thread; a launcher of several ranks sees to it."""
MULTIPLICATIONS = 2**19 if ONE_THREAD else 2**18
"""Of a tile with more centroids. OpenBLAS starts threads of its own for a larger product than 2¹⁸, where it has any.
The larger tile is a little faster, and labels are the same."""
SCORES_AT_ONCE = 2**18

Labels = NDArray[np.int64]


def nearest_on_cpu(block_NP: Floats, centroid_KP: Floats) -> Labels:
    """The nearest centroid of each point, (n,); of equally near ones the first."""
    clusters, axes = centroid_KP.shape
    if clusters <= FEW:
        most = (FEW_SCORES_OF_NARROW if axes < NARROW else FEW_SCORES) // clusters
    else:
        most = MULTIPLICATIONS // centroid_KP.size
    tile = 1 << max(0, most.bit_length() - 1)
    whole = len(block_NP) // tile * tile
    tilings = [block_NP[:whole].reshape(-1, tile, axes)]
    tilings += [block_NP[None, whole:]] if whole < len(block_NP) else []
    find = _among_few if clusters <= FEW else _among_many
    return np.concatenate([find(tile_TNP, centroid_KP).ravel() for tile_TNP in tilings])


def square_distances_on_cpu(block_NP: Floats, centroid_KP: Floats, label_N: Labels) -> Doubles:
    """Squared distance of each point to its centroid, (n,): exactly 0 where they are the same."""
    away_NP = centroid_KP.take(label_N, axis=0)
    np.subtract(block_NP, away_NP, out=away_NP)
    square_N: Floats = np.einsum("np,np->n", away_NP, away_NP)
    return square_N.astype(np.float64)


def sums_on_cpu(block_NP: Floats, centroid_RKP: Floats, dtype: type[np.floating[Any]]) -> Doubles:
    """Sum and number of the points nearest to each centroid for each restart, (R, K, P + 1).

    Args:
        block_NP: Points.
        centroid_RKP: Centroids of each restart.
        dtype: In which points are added up, in their order.
    """
    _, clusters, axes = centroid_RKP.shape
    summed_NP, found = block_NP.astype(dtype, copy=False), np.empty((len(centroid_RKP), clusters, axes + 1))
    one_N, end_N = np.ones(len(block_NP), dtype), np.arange(len(block_NP) + 1, dtype=np.int32)
    for centroid_KP, found_KS in zip(centroid_RKP, found, strict=True):
        label_N = nearest_on_cpu(block_NP, centroid_KP)
        chosen_KN = csc_array((one_N, label_N.astype(np.int32), end_N), shape=(clusters, len(block_NP)))
        found_KS[:, :-1] = chosen_KN @ summed_NP
        found_KS[:, -1] = np.bincount(label_N, minlength=clusters)
    return found


def inertia_on_cpu(block_NP: Floats, centroid_RKP: Floats) -> Doubles:
    """Sum of squared distances to the nearest centroid, and points of each cluster, for each restart, (R, 1 + K)."""
    found = np.empty((len(centroid_RKP), 1 + centroid_RKP.shape[1]))
    for centroid_KP, found_S in zip(centroid_RKP, found, strict=True):
        label_N = nearest_on_cpu(block_NP, centroid_KP)
        found_S[0] = square_distances_on_cpu(block_NP, centroid_KP, label_N).sum()
        found_S[1:] = np.bincount(label_N, minlength=len(centroid_KP))
    return found


def _among_few(tile_TNP: Floats, centroid_KP: Floats) -> Labels:
    score_TKN = np.matmul(-2 * centroid_KP, tile_TNP.transpose(0, 2, 1))
    score_TKN += np.square(centroid_KP).sum(axis=1)[:, None]
    lowest_TKN = score_TKN == score_TKN.min(axis=1, keepdims=True)
    if np.count_nonzero(lowest_TKN) * len(centroid_KP) > lowest_TKN.size:  # a point is as near to one as to another
        first_TN: Labels = lowest_TKN.argmax(axis=1)
        return first_TN
    number_K = np.arange(len(centroid_KP), dtype=np.int8)
    label_TN: NDArray[np.int8] = np.einsum("k,tkn->tn", number_K, lowest_TKN.view(np.int8))
    return label_TN.astype(np.int64)


def _among_many(tile_TNP: Floats, centroid_KP: Floats) -> Labels:
    """So many tiles at a time that their scores stay in a core's own cache."""
    tiles, length, _ = tile_TNP.shape
    doubled_PK = np.ascontiguousarray(-2 * centroid_KP.T)
    square_S = np.tile(np.square(centroid_KP).sum(axis=1), length)
    step = max(1, SCORES_AT_ONCE // square_S.size)
    label_TN = np.empty((tiles, length), np.int64)
    buffer_TNK = np.empty((min(step, tiles), length, len(centroid_KP)), np.float32)
    for start in range(0, tiles, step):
        some = slice(start, min(start + step, tiles))
        score_TNK = np.matmul(tile_TNP[some], doubled_PK, out=buffer_TNK[: some.stop - start])
        flat_TS = score_TNK.reshape(-1, square_S.size)  # a view: a few long rows are added to faster than many short
        flat_TS += square_S
        score_TNK.argmin(axis=2, out=label_TN[some])
    return label_TN
