"""Do the clusters come again: with other seeds, and on resamples of the cases.

Every clustering here goes through the whole backend: scaling, PCA and k-means are fitted anew on each resample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.backend import ClusterFit
from dcam_dist.clustering.choose import choose_backend
from dcam_dist.clustering.consensus import Consensus, CountedPairs
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.ranks import ALONE
from dcam_dist.clustering.rows import ArrayRows
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.config.seeds import derived_seed
from dcam_dist.metrics import adjusted_rand, apply_permutation, match_to_previous
from dcam_dist.metrics.ids import Ids

CONSENSUS_CASES = 1000
"""Above this many cases the consensus matrix is that of a sample: it grows with their square."""


@dataclass(frozen=True)
class Spread:
    """The middle of some figures and where 95 % of them lie (percentiles); NaN where there are none."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Stability:
    """How far the clusters of some cases come again.

    Attributes:
        reference: The clustering with the seed itself, whose ids all others are matched to.
        label_N: Its clusters.
        seed_ari: Adjusted Rand index of every pair of clusterings that differ in their seed alone.
        resample_ari_R: Adjusted Rand index of the reference and each resample's model, both on all cases.
        jaccard_RK: Of each reference cluster with the resample's cluster that is matched to it, over the drawn cases;
            NaN where the resample has drawn no case of either.
        consensus: How often two cases that a resample has drawn share a cluster there.
    """

    reference: ClusterFit
    label_N: NDArray[np.int64]
    seed_ari: Doubles
    resample_ari_R: Doubles
    jaccard_RK: Doubles
    consensus: Consensus

    @property
    def over_seeds(self) -> Spread:
        """Of ``seed_ari``; the pairs share clusterings, so this is no confidence interval."""
        return spread(self.seed_ari)

    @property
    def over_resamples(self) -> Spread:
        """Of ``resample_ari_R``."""
        return spread(self.resample_ari_R)

    @property
    def jaccard_mean(self) -> Doubles:
        """Of each cluster over the resamples, (K,): by Hennig below 0.6 no cluster to trust, from 0.85 on a stable one.

        Hennig 2007 (Comput. Stat. Data Anal. 52:258) compares with the most similar cluster of the resample; here each
        cluster has one of its own, so that the figure is his or less.
        """
        drawn_K = (~np.isnan(self.jaccard_RK)).sum(axis=0)
        mean_K: Doubles = np.divide(
            np.nansum(self.jaccard_RK, axis=0), drawn_K, out=np.full(len(drawn_K), np.nan), where=drawn_K > 0
        )
        return mean_K


def stability(
    features_NC: Floats,
    settings: ClusteringConfig,
    *,
    seed: int,
    seeds: int = 20,
    resamples: int = 100,
    consensus_cases: int = CONSENSUS_CASES,
    device: str = "cpu",
    fitted: Callable[[], None] = lambda: None,
) -> Stability:
    """Cluster the cases with several seeds, and bootstrap resamples of them.

    Args:
        features_NC: Of all cases; finite.
        settings: Of the clustering.
        seed: Of all draws; the reference is clustered with the seed itself.
        seeds: Clusterings that differ in their seed alone, the reference among them; at least 2.
        resamples: Resamples of N cases with replacement; at least 1.
        consensus_cases: Above this many cases the consensus matrix is that of a sample.
        device: Where the torch and the cuML backend work.
        fitted: Called after each clustering.

    Raises:
        ValueError: With fewer seeds or resamples.
        DataError: When there are fewer cases than clusters.
    """
    if seeds < 2 or resamples < 1:
        raise ValueError(f"stability needs at least 2 seeds and 1 resample, not {seeds} and {resamples}")

    backend = choose_backend(settings, len(features_NC), device)

    def fit(rows_NC: Floats, of: int) -> ClusterFit:
        made = backend.fit(ArrayRows(rows_NC), settings, of, ALONE)
        fitted()
        return made

    reference = fit(features_NC, seed)
    label_N = reference.model.assign(features_NC)
    others = [fit(features_NC, derived_seed(seed, "stability, seed", i)) for i in range(1, seeds)]
    by_seed = [label_N, *(other.model.assign(features_NC) for other in others)]
    pairs = CountedPairs(_some_rows(len(features_NC), consensus_cases, seed))
    ari_R, jaccard_RK = np.empty(resamples), np.empty((resamples, settings.clusters))
    for r in range(resamples):
        of = derived_seed(seed, "stability, resample", r)
        drawn = np.random.default_rng(of).integers(len(features_NC), size=len(features_NC))
        found_N = fit(features_NC[drawn], of).model.assign(features_NC)
        was_drawn_N = np.bincount(drawn, minlength=len(features_NC)) > 0
        ari_R[r] = adjusted_rand(label_N, found_N)
        matched_N = apply_permutation(found_N, match_to_previous(label_N, found_N, settings.clusters))
        jaccard_RK[r] = jaccard(label_N[was_drawn_N], matched_N[was_drawn_N], settings.clusters)
        pairs.add(found_N, was_drawn_N)
    seed_ari = np.array([adjusted_rand(one, other) for one, other in combinations(by_seed, 2)])
    return Stability(reference, label_N, seed_ari, ari_R, jaccard_RK, pairs.consensus())


def jaccard(first_N: Ids, second_N: Ids, clusters: int) -> Doubles:
    """|A ∩ B| / |A ∪ B| of the clusters of the same id, (K,); NaN of an id that occurs in neither."""
    size_K, other_K, both_K = (
        np.bincount(ids, minlength=clusters) for ids in (first_N, second_N, first_N[first_N == second_N])
    )
    union_K = size_K + other_K - both_K
    index_K: Doubles = np.divide(both_K, union_K, out=np.full(clusters, np.nan), where=union_K > 0)
    return index_K


def spread(values: Doubles) -> Spread:
    """Median, 2.5th and 97.5th percentile of the figures that are not NaN."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return Spread(*[float("nan")] * 3)
    low, median, high = np.percentile(defined, [2.5, 50, 97.5])
    return Spread(float(median), float(low), float(high))


def _some_rows(cases: int, most: int, seed: int) -> NDArray[np.int64]:
    if cases <= most:
        return np.arange(cases)
    rng = np.random.default_rng(derived_seed(seed, "stability, consensus", 0))
    return np.sort(rng.choice(cases, size=most, replace=False))
