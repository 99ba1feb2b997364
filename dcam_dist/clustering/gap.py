"""Is there more structure than in no structure: the gap statistic (Tibshirani, Walther & Hastie 2001, JRSS B 63:411).

The reference is uniform in the box along the principal axes of the scaled features (their choice b), brought back into
the features' own space and clustered by the same backend under the same settings. So scaling, PCA, whitening and unit
length do to it what they do to the features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.backend import ClusterFit
from dcam_dist.clustering.choose import choose_backend
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.ranks import ALONE
from dcam_dist.clustering.rows import ArrayRows
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.config.seeds import derived_seed
from dcam_dist.errors import DataError

ROUNDING = 1e-12
"""Of the sum of squares about the mean: less than this is what float32 leaves of cases that lie on their centroids."""


@dataclass(frozen=True, eq=False)
class GapPoint:
    """The gap at one number of clusters.

    Attributes:
        clusters: K.
        log_dispersion: log W, W the sum of squared distances of the cases to their centroids, in the clustering space.
        reference_B: The same of each reference.
    """

    clusters: int
    log_dispersion: float
    reference_B: Doubles

    @property
    def gap(self) -> float:
        """Mean of the references less ``log_dispersion``; infinity where every case lies on its centroid."""
        return float(self.reference_B.mean() - self.log_dispersion)

    @property
    def error(self) -> float:
        """Standard error s = sd · √(1 + 1/B): the references scatter, and there are only B of them."""
        return float(self.reference_B.std() * np.sqrt(1 + 1 / len(self.reference_B)))


def gap_choice(points: Sequence[GapPoint]) -> int | None:
    """The smallest K with gap(K) ≥ gap(K + 1) − s(K + 1).

    Args:
        points: By rising K, without holes; to find that there is but one cluster, from 1 on.

    Returns:
        K; ``None`` when the gap still rises at the last but one.
    """
    for here, after in pairwise(points):
        if here.gap >= after.gap - after.error:
            return here.clusters
    return None


@dataclass(frozen=True, eq=False)
class GapReference:
    """Where references are drawn: a box along the principal axes of the scaled features.

    Attributes:
        mean_C: Of the features.
        axes_PC: From a place in the box to scaled features and back to the features' scale.
        low_P: Lower end of the box along each axis.
        high_P: Upper end.
        shape: Of the features.
    """

    mean_C: Doubles
    axes_PC: Doubles
    low_P: Doubles
    high_P: Doubles
    shape: tuple[int, int]

    def draw(self, seed: int) -> Floats:
        """One reference, of the shape of the features."""
        rng = np.random.default_rng(seed)
        reference_NC = np.empty(self.shape, dtype=np.float32)
        for chunk in ArrayRows(reference_NC).chunks():  # views: filled in place
            place_NP = rng.uniform(self.low_P, self.high_P, (len(chunk), len(self.low_P)))
            chunk[:] = self.mean_C + place_NP @ self.axes_PC
        return reference_NC


def gap_reference(features_NC: Floats) -> GapReference:
    """The box of some features; channels that are constant stay so.

    Raises:
        DataError: When all of them are.
    """
    mean_C = features_NC.mean(axis=0, dtype=np.float64)
    low_C, high_C = features_NC.min(axis=0), features_NC.max(axis=0)
    constant_C = low_C == high_C
    if constant_C.all():
        raise DataError(f"all {len(features_NC)} cases have the same features: there is nothing to cluster")
    mean_C[constant_C] = low_C[constant_C]
    scale_C = np.where(constant_C, 0.0, features_NC.std(axis=0, dtype=np.float64))
    channels = len(mean_C)
    inverse_C = np.divide(1.0, scale_C, out=np.zeros(channels), where=scale_C > 0)
    scatter_CC = np.zeros((channels, channels))
    for chunk in ArrayRows(features_NC).chunks():
        scaled_NC = (chunk - mean_C) * inverse_C
        scatter_CC += scaled_NC.T @ scaled_NC
    _, axes_CP = np.linalg.eigh(scatter_CC)
    low_P, high_P = np.full(channels, np.inf), np.full(channels, -np.inf)
    for chunk in ArrayRows(features_NC).chunks():
        place_NP = (chunk - mean_C) * inverse_C @ axes_CP
        low_P, high_P = np.minimum(low_P, place_NP.min(axis=0)), np.maximum(high_P, place_NP.max(axis=0))
    return GapReference(mean_C, axes_CP.T * scale_C, low_P, high_P, (len(features_NC), channels))


def gap_at(
    features_NC: Floats,
    reference: GapReference,
    settings: ClusteringConfig,
    *,
    clusters: int,
    references: int,
    seed: int,
    device: str = "cpu",
    fitted: Callable[[], None] = lambda: None,
) -> GapPoint:
    """The gap at one number of clusters. Every K meets the same references.

    Args:
        features_NC: Of all cases; finite.
        reference: ``gap_reference`` of them.
        settings: Of the clustering; its number of clusters does not count.
        clusters: K, from 1 on.
        references: B.
        seed: Of references and clusterings; the features are clustered with the seed itself.
        device: Where the torch and the cuML backend work.
        fitted: Called after each clustering.

    Raises:
        DataError: When there are fewer cases than clusters.
    """
    chosen = settings.model_copy(update={"clusters": max(clusters, 2)})
    backend = choose_backend(chosen, len(features_NC), device)

    def log_dispersion(rows_NC: Floats, of: int) -> float:
        found = _dispersion(backend.fit(ArrayRows(rows_NC), chosen, of, ALONE), rows_NC, clusters)
        fitted()
        return float(np.log(found)) if found > 0 else -np.inf

    seeds = [derived_seed(seed, "gap", b) for b in range(references)]
    drawn = [log_dispersion(reference.draw(of), of) for of in seeds]
    return GapPoint(clusters, log_dispersion(features_NC, seed), np.array(drawn))


def _dispersion(fit: ClusterFit, features_NC: Floats, clusters: int) -> float:
    points_NP = fit.model.project(features_NC)
    total = float(np.square(points_NP - points_NP.mean(axis=0, dtype=np.float64)).sum())
    if clusters == 1:
        return total
    return fit.inertia if fit.inertia > ROUNDING * total else 0.0
