"""Where rows stand among the clusters of a model, the same whatever library and device computes it.

Everything is float64, where libraries differ by some 1e-16. Of centroids that are equally near within ``TIE``, which is
far above that and far below what float32 features could mean, the first one has the row. So labels agree everywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.model import ClusterModel, Floats

TIE = 1e-9
"""Of the squared lengths: squared distances that differ by less are equal."""
ROUNDING = 1e-5
"""Of a row's length: a smaller distance from the principal subspace is the rounding of a model's float32 axes."""
BLOCK_NUMBERS = 4 * 2**20
"""Numbers of the largest array that is in memory at once, 32 MiB of them."""


@dataclass(frozen=True)
class ArrayLibrary:
    """A library with NumPy's operators.

    Attributes:
        put: A float64 array of NumPy as one of the library, where it computes.
        get: Back.
    """

    put: Callable[[Doubles], Any]
    get: Callable[[Any], Doubles]


NUMPY = ArrayLibrary(np.asarray, np.asarray)


@dataclass(frozen=True, eq=False)
class Placement:
    """Rows among the clusters.

    Attributes:
        label_N: The nearest centroid, from 0.
        distance_N: To it, in the clustering space.
        margin_N: How much farther the second nearest centroid is.
        residual_N: Distance of the scaled row from the principal subspace: what the clustering does not see of it.
    """

    label_N: NDArray[np.int64]
    distance_N: Doubles
    margin_N: Doubles
    residual_N: Doubles


def place(features_NC: Floats, model: ClusterModel, library: ArrayLibrary = NUMPY) -> Placement:
    """Place rows of features (N, C) among the clusters of a model with at least two."""
    arrays = _Arrays.of(model, library)
    count = len(features_NC)
    placed = Placement(np.empty(count, np.int64), np.empty(count), np.empty(count), np.empty(count))
    for some in row_blocks(count, max(features_NC.shape[1], model.centroid_KP.size)):
        square_NK, length_N, placed.residual_N[some] = arrays.measure(features_NC[some].astype(np.float64))
        bound_N1 = square_NK.min(axis=1, keepdims=True) + TIE * length_N[:, None]
        label_N = np.argmax(square_NK <= bound_N1, axis=1)
        distance_NK = np.sqrt(square_NK)
        own = label_N[:, None]
        placed.label_N[some] = label_N
        placed.distance_N[some] = np.take_along_axis(distance_NK, own, axis=1)[:, 0]
        np.put_along_axis(distance_NK, own, np.inf, axis=1)
        placed.margin_N[some] = np.maximum(distance_NK.min(axis=1) - placed.distance_N[some], 0)
    return placed


def row_blocks(rows: int, numbers: int) -> Iterator[slice]:
    """So many rows at a time that their arrays of so many numbers a row take little memory."""
    step = max(1, BLOCK_NUMBERS // max(1, numbers))
    for start in range(0, rows, step):
        yield slice(start, start + step)


@dataclass(frozen=True, eq=False)
class _Arrays:
    """A model in float64 where a library computes; only operators that NumPy, torch and CuPy write alike are used."""

    library: ArrayLibrary
    mean_C: Any
    scale_C: Any
    axes_PC: Any
    deviation_P: Any
    centroid_1KP: Any
    longest: float
    l2_normalize: bool

    @classmethod
    def of(cls, model: ClusterModel, library: ArrayLibrary) -> "_Arrays":
        centroid_1KP = model.centroid_KP[None].astype(np.float64)
        return cls(
            library,
            library.put(model.mean_C.astype(np.float64)),
            library.put(model.scale_C.astype(np.float64)),
            library.put(model.components_PC.astype(np.float64)),
            library.put(model.deviations().astype(np.float64) if model.whiten else np.ones(len(model.variance_P))),
            library.put(centroid_1KP),
            float(np.square(centroid_1KP).sum(axis=2).max()),
            model.l2_normalize,
        )

    def measure(self, rows_NC: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Squared distances (n, K), squared lengths that their rounding grows with (n,), residuals (n,)."""
        scaled_NC = (self.library.put(rows_NC) - self.mean_C) / self.scale_C
        points_NP = scaled_NC @ self.axes_PC.T
        left_NC = scaled_NC - points_NP @ self.axes_PC
        residual_N = (left_NC * left_NC).sum(1) ** 0.5
        residual_N = residual_N * (residual_N > ROUNDING * (scaled_NC * scaled_NC).sum(1) ** 0.5)
        points_NP = points_NP / self.deviation_P
        length_N = (points_NP * points_NP).sum(1)
        if self.l2_normalize:
            points_NP = points_NP / (length_N + (length_N == 0))[:, None] ** 0.5
            length_N = (points_NP * points_NP).sum(1)
        away_NKP = points_NP[:, None] - self.centroid_1KP
        square_NK = (away_NKP * away_NKP).sum(2)
        get = self.library.get
        return get(square_NK), get(length_N) + self.longest, get(residual_N)
