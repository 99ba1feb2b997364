"""Whether the clusters come again: with other seeds, and on resamples of the training cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.stability import Spread, stability
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.maps.compute import Floats
from dcam_dist.metrics import adjusted_rand, match_to_previous

SEEDS, RESAMPLES = 10, 50
TRUSTED, STABLE = 0.6, 0.85
"""Mean Jaccard index of a cluster: below the first not to trust, from the second on stable (Hennig 2007)."""


@dataclass(frozen=True, eq=False)
class Steadiness:
    """How far the clusters of the training cases come again.

    Attributes:
        seeds: Clusterings with another seed.
        resamples: Bootstrap resamples.
        over_seeds: Adjusted Rand index between them.
        over_resamples: The same between all cases' clusters and a resample's.
        jaccard_K: Mean Jaccard index of each of the run's clusters over the resamples.
        ambiguous: Share of pairs of cases that are neither together nor apart.
        again: Adjusted Rand index of the run's clusters and the same features clustered once more.
    """

    seeds: int
    resamples: int
    over_seeds: Spread
    over_resamples: Spread
    jaccard_K: NDArray[np.float64]
    ambiguous: float
    again: float

    @property
    def worst(self) -> float:
        """The lowest of the three figures: clusters that fail in one way do not come again."""
        return min(self.over_seeds.median, self.over_resamples.median, self.again)


def steadiness(features_NC: Floats, class_N: NDArray[np.int64], settings: ClusteringConfig, seed: int) -> Steadiness:
    """Cluster the features of the training cases again.

    Args:
        features_NC: Of the training cases.
        class_N: Their clusters.
        settings: Of the clustering.
        seed: Of all draws.

    Raises:
        DataError: When there are fewer cases than clusters.
    """
    found = stability(features_NC, settings, seed=seed, seeds=SEEDS, resamples=RESAMPLES)
    own_of_K = match_to_previous(class_N, found.label_N, settings.clusters)
    jaccard_K = np.full(settings.clusters, np.nan)
    jaccard_K[own_of_K] = found.jaccard_mean
    return Steadiness(
        SEEDS,
        RESAMPLES,
        found.over_seeds,
        found.over_resamples,
        jaccard_K,
        found.consensus.ambiguous_share,
        adjusted_rand(class_N, found.label_N),
    )


def jaccard_in_words(value: float) -> str:
    """What a cluster's Jaccard index means."""
    if not np.isfinite(value):
        return "not known"
    if value < TRUSTED:
        return "dissolves"
    return "stable" if value >= STABLE else "a pattern, its edges uncertain"
