"""A fitted clustering: plain arrays, and how a case's features become a point and a cluster."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK_NUMBERS = 4 * 2**20
"""Differences between points and centroids that are in memory at once."""
NO_VARIANCE = 1e-6
"""Of the largest variance along an axis: less is the rounding of cuML's float32 PCA. Rows that add up to one, or fewer
rows than channels, have such axes."""


@dataclass(frozen=True, eq=False)
class ClusterModel:
    """Scaler, PCA and centroids. Everything needed to assign a new scan; no code, no pickle.

    Attributes:
        mean_C: Subtracted from the features.
        scale_C: Divides them after that (1 for a constant channel).
        components_PC: Principal axes of the scaled features; the largest loading of each is positive.
        variance_P: Variance of the scaled training features along each axis.
        centroid_KP: Cluster centres in the clustering space.
        whiten: Whether points are divided by ``deviations``.
        l2_normalize: Whether points are scaled to unit length after that.
    """

    mean_C: Floats
    scale_C: Floats
    components_PC: Floats
    variance_P: Floats
    centroid_KP: Floats
    whiten: bool
    l2_normalize: bool

    @property
    def space(self) -> str:
        """The clustering space of lung-pooled features in words, for tables that show a metric computed in it."""
        return self.space_of("lung-pooled features")

    def space_of(self, rows: str) -> str:
        """The clustering space in words, where rows are something else."""
        steps = [f"PCA {len(self.components_PC)} of scaled {rows}"]
        steps += ["whitened"] if self.whiten else []
        steps += ["unit length"] if self.l2_normalize else []
        return ", ".join(steps)

    def deviations(self) -> Floats:
        """What whitening divides by: the root of the variance; 1 along axes on which only rounding varies."""
        known = self.variance_P > NO_VARIANCE * self.variance_P.max()
        return np.sqrt(np.where(known, self.variance_P, np.float32(1)))

    def project(self, features_NC: Floats) -> Floats:
        """Features (N, C) to points (N, P) of the clustering space."""
        points_NP = ((features_NC - self.mean_C) / self.scale_C) @ self.components_PC.T
        if self.whiten:
            points_NP = points_NP / self.deviations()
        if self.l2_normalize:
            lengths_N1 = np.linalg.norm(points_NP, axis=1, keepdims=True)
            points_NP = points_NP / np.where(lengths_N1 > 0, lengths_N1, 1)  # a zero row stays zero
        return np.ascontiguousarray(points_NP, dtype=np.float32)

    def distances(self, points_NP: Floats) -> Floats:
        """Euclidean distance of each point to each centroid, (N, K)."""
        return centroid_distances(points_NP, self.centroid_KP)

    def assign(self, features_NC: Floats) -> NDArray[np.int64]:
        """Nearest centroid of each row of features, (N,)."""
        return nearest(self.project(features_NC), self.centroid_KP)

    def with_cluster_order(self, new_id_K: NDArray[np.int64]) -> "ClusterModel":
        """The same model with cluster ``k`` renamed to ``new_id_K[k]``."""
        centroids = np.empty_like(self.centroid_KP)
        centroids[new_id_K] = self.centroid_KP
        return replace(self, centroid_KP=centroids)


def centroid_distances(points_NP: Floats, centroid_KP: Floats) -> Floats:
    """Euclidean distance of each point to each centroid, (N, K) float32."""
    distance_NK = np.empty((len(points_NP), len(centroid_KP)), dtype=np.float32)
    for some in _slices(points_NP, centroid_KP):
        distance_NK[some] = np.linalg.norm(points_NP[some, None] - centroid_KP[None], axis=2)
    return distance_NK


def nearest(points_NP: Floats, centroid_KP: Floats) -> NDArray[np.int64]:
    """Index of the nearest centroid of each point, (N,)."""
    nearest_N = np.empty(len(points_NP), dtype=np.int64)
    for some in _slices(points_NP, centroid_KP):
        nearest_N[some] = np.argmin(centroid_distances(points_NP[some], centroid_KP), axis=1)
    return nearest_N


def sum_of_squares(points_NP: Floats, centroid_KP: Floats) -> float:
    """Sum of squared distances to the nearest centroid, in float64."""
    total = 0.0
    for some in _slices(points_NP, centroid_KP):
        near = centroid_KP[nearest(points_NP[some], centroid_KP)]
        total += float(np.square(points_NP[some] - near, dtype=np.float64).sum())
    return total


def _slices(points_NP: Floats, centroid_KP: Floats) -> Iterator[slice]:
    """So many points at a time that their differences to all centroids take little memory."""
    step = max(1, BLOCK_NUMBERS // max(1, centroid_KP.size))
    for start in range(0, len(points_NP), step):
        yield slice(start, start + step)
