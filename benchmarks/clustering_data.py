"""Rows for ``benchmarks.clustering``: the same whatever their number of ranks, made block by block.

Overlapping groups in a few latent directions, and noise in all channels: k-means on them is far from done after the
iterations that are timed, so nobody stops early.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK = 2**16
LATENT, GROUPS = 8, 256
SPREAD, NOISE = 1.5, 0.7


def make_rows(seed: int, first: int, last: int, channels: int) -> Floats:
    """The rows ``first`` … ``last`` of an endless table, (last − first, channels) float32."""
    rows_NC = np.empty((last - first, channels), dtype=np.float32)
    for block in range(first // BLOCK, -(-last // BLOCK)):
        start, stop = max(first, block * BLOCK), min(last, (block + 1) * BLOCK)
        made_NC = _block(seed, block, channels)
        rows_NC[start - first : stop - first] = made_NC[start - block * BLOCK : stop - block * BLOCK]
    return rows_NC


def first_centroids(seed: int, clusters: int, channels: int) -> Floats:
    """Where every contender starts, (K, C): the first rows, all of which are in every table."""
    return make_rows(seed, 0, clusters, channels)


def _block(seed: int, block: int, channels: int) -> Floats:
    shared = np.random.default_rng([seed, 0])
    centre_GL = SPREAD * shared.standard_normal((GROUPS, LATENT), dtype=np.float32)
    loading_LC = shared.standard_normal((LATENT, channels), dtype=np.float32) / np.float32(np.sqrt(LATENT))
    own = np.random.default_rng([seed, 1, block])
    latent_NL = centre_GL[own.integers(GROUPS, size=BLOCK)]
    latent_NL += own.standard_normal((BLOCK, LATENT), dtype=np.float32)
    made_NC = own.standard_normal((BLOCK, channels), dtype=np.float32)
    made_NC *= np.float32(NOISE)
    made_NC += latent_NL @ loading_LC
    return made_NC
