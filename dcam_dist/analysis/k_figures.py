"""What is found at each number of clusters."""

from dataclasses import dataclass

import numpy as np

from dcam_dist.clustering.gap import GapPoint
from dcam_dist.clustering.stability import Stability
from dcam_dist.config.schema import ClusteringConfig


@dataclass(frozen=True)
class Effort:
    """How much is tried at each number of clusters.

    Attributes:
        seeds: Clusterings that differ in their seed alone.
        resamples: Bootstrap resamples.
        references: Reference data sets of the gap statistic.
        silhouette_cases: Above this many cases the silhouette is that of a sample.
    """

    seeds: int = 20
    resamples: int = 100
    references: int = 50
    silhouette_cases: int = 5000

    @property
    def clusterings(self) -> int:
        """At each number of clusters from 2 on."""
        return self.references + 1 + self.seeds + self.resamples


@dataclass(frozen=True, eq=False)
class KFigures:
    """What was found at one number of clusters; scores are in the clustering space.

    Attributes:
        gap: Against no structure.
        stability: Over seeds and resamples; its reference clustering is the one that is scored.
        silhouette: See ``metrics.silhouette``.
        davies_bouldin: See ``metrics.davies_bouldin``.
        calinski_harabasz: See ``metrics.calinski_harabasz``.
    """

    gap: GapPoint
    stability: Stability
    silhouette: float
    davies_bouldin: float
    calinski_harabasz: float

    @property
    def clusters(self) -> int:
        """K."""
        return self.gap.clusters

    @property
    def least_jaccard(self) -> float:
        """Jaccard stability of the cluster that comes again least; NaN where it is that of none."""
        jaccard_K = self.stability.jaccard_mean
        return float("nan") if np.isnan(jaccard_K).all() else float(np.nanmin(jaccard_K))


@dataclass(frozen=True, eq=False)
class KSelection:
    """Every criterion over a range of K.

    Attributes:
        figures: By rising K, without holes.
        gap_of_one: The gap of a single cluster, where the range begins at 2.
        cases: Clustered.
        channels: Of their features.
        settings: Of the clustering; its number of clusters does not count.
        effort: How much was tried.
        seed: Of all draws.
    """

    figures: tuple[KFigures, ...]
    gap_of_one: GapPoint | None
    cases: int
    channels: int
    settings: ClusteringConfig
    effort: Effort
    seed: int

    @property
    def gaps(self) -> tuple[GapPoint, ...]:
        """By rising K, from a single cluster on where the range begins at 2."""
        first = () if self.gap_of_one is None else (self.gap_of_one,)
        return (*first, *(one.gap for one in self.figures))

    @property
    def space(self) -> str:
        """The space of the scores in words."""
        return self.figures[0].stability.reference.model.space.replace("lung-pooled ", "")
