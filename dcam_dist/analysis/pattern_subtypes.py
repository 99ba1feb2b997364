"""Subtypes of scans by what their lungs consist of: the histograms of the patterns, clustered."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dcam_dist.analysis.pattern_labels import PatternTable
from dcam_dist.clustering import ArrayRows, ClusterFit, choose_backend
from dcam_dist.clustering.outliers import OutlierRule, outlier_rule
from dcam_dist.config import Config
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import ProcessContext, ranks_of


@dataclass(frozen=True, eq=False)
class Subtypes:
    """The subtypes of a cohort's scans.

    Attributes:
        fit: Fitted on the training scans; subtypes by falling number of these.
        label_N: Subtype of each scan of the table, nearest centroid.
        distance_NK: Distance to each centroid, in the clustering space.
        outliers: When a scan is farther off than the training scans.
    """

    fit: ClusterFit
    label_N: NDArray[np.int64]
    distance_NK: NDArray[np.float32]
    outliers: OutlierRule


def find_subtypes(table: PatternTable, train: int, config: Config, context: ProcessContext) -> Subtypes:
    """Cluster the training scans' histograms, scaled and PCA-reduced like features. All ranks call together.

    Args:
        table: All scans; the same on every rank.
        train: So many of its first rows are training scans.
        config: ``clustering`` says how, and how many subtypes.
        context: This process.

    Raises:
        DataError: When there are fewer training scans than subtypes.
    """
    share_NK = table.shares
    rows = ArrayRows(share_NK[:train] if context.is_main else share_NK[:0])
    backend = choose_backend(config.clustering, train, context.device)
    seed = derived_seed(config.seed, "subtypes", 0)
    fit = by_size(backend.fit(rows, config.clustering, seed, ranks_of(context)))
    distance_NK = fit.model.distances(fit.model.project(share_NK))
    return Subtypes(fit, distance_NK.argmin(axis=1), distance_NK, outlier_rule(share_NK[:train], fit.model)[0])


def by_size(fit: ClusterFit) -> ClusterFit:
    """The same clusters, the largest first."""
    order_K = np.argsort(-fit.size_K, kind="stable")
    new_id_K = np.empty_like(order_K)
    new_id_K[order_K] = np.arange(len(order_K))
    return replace(fit, model=fit.model.with_cluster_order(new_id_K), size_K=fit.size_K[order_K])


def typical_scans(subtypes: Subtypes, case_ids: tuple[str, ...], train: int, count: int) -> tuple[str, ...]:
    """The training scans nearest to each subtype's centroid, ``count`` of each, subtype by subtype."""
    chosen: list[str] = []
    for subtype, distance_N in enumerate(subtypes.distance_NK[:train].T):
        members = np.flatnonzero(subtypes.label_N[:train] == subtype)
        chosen += [case_ids[row] for row in members[np.argsort(distance_N[members], kind="stable")[:count]]]
    return tuple(chosen)
