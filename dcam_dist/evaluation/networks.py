"""What a network, trained or not, makes of both splits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcam_dist.clustering import ALONE, ArrayRows, ClusterModel, choose_backend
from dcam_dist.cohort import Cohort
from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext
from dcam_dist.evaluation.scoring import ClusteredSplits
from dcam_dist.evaluation.splits import SplitTable
from dcam_dist.models import ClusterNetwork, build_network
from dcam_dist.runs import RestoredRun
from dcam_dist.training import extract_features

Features = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class NetworkClusters:
    """A trained run's two answers for every case.

    Attributes:
        by_centroid: Nearest centroid in the clustering space; ``None`` for supervised runs.
        by_head: The head's most probable class.
        distance: Distance to that centroid, train then test; NaN for supervised runs.
        table: The cases.
    """

    by_centroid: ClusteredSplits | None
    by_head: ClusteredSplits
    distance: NDArray[np.float32]
    table: SplitTable

    def rows(self) -> list[dict[str, Any]]:
        """One row a case; for people, clusters are counted from 1 and grades from 0, as on their scale."""
        first = 0 if self.by_centroid is None else 1
        main = self.by_centroid or self.by_head
        cluster = np.concatenate([main.train_cluster_N, main.test_cluster_N]) + first
        head = np.concatenate([self.by_head.train_cluster_N, self.by_head.test_cluster_N]) + first
        cases = [(i, "train") for i in self.table.train_id_N] + [(i, "test") for i in self.table.test_id_N]
        return [
            {"case_id": case_id, "split": split, "cluster": int(c), "head_cluster": int(h), "distance": f"{d:.4f}"}
            for (case_id, split), c, h, d in zip(cases, cluster, head, self.distance, strict=True)
        ]


def trained_clusters(run: RestoredRun, cohort: Cohort, table: SplitTable, context: ProcessContext) -> NetworkClusters:
    """Clusters of all cases under a trained run. All ranks call together."""
    network = run.network.to(context.device)
    relu = run.config.training.last_relu
    features = _features(network, run.config, cohort, table, context, last_relu=relu)
    model = run.checkpoint.clustering
    head_features = features
    if not relu:  # the head was trained on the features after the last ReLU, whatever the clustering used
        head_features = _features(network, run.config, cohort, table, context, last_relu=True)
    centroid = None if model is None else _by_centroid(model, features, table)
    points = None if centroid is None else (centroid.train_points_NP, centroid.test_points_NP)
    head_cluster = [_head_answer(network, rows, context) for rows in head_features]
    by_head = ClusteredSplits(
        train_cluster_N=head_cluster[0],
        train_label_N=table.train_label_N,
        test_cluster_N=head_cluster[1],
        test_label_N=table.test_label_N,
        train_points_NP=points[0] if points else None,
        test_points_NP=points[1] if points else None,
        space=model.space if model else "none",
    )
    return NetworkClusters(centroid, by_head, _nearest_distance(model, features), table)


def untrained_clusters(run: RestoredRun, cohort: Cohort, table: SplitTable, context: ProcessContext) -> ClusteredSplits:
    """The same network with its initial random weights, clustered in the same way."""
    network = build_network(run.config).to(context.device)
    features = _features(network, run.config, cohort, table, context, last_relu=run.config.training.last_relu)
    backend = choose_backend(run.config.clustering, len(features[0]), context.device)
    fit = backend.fit(ArrayRows(features[0]), run.config.clustering, run.config.seed, ALONE)
    return _by_centroid(fit.model, features, table)


def _features(
    network: ClusterNetwork,
    config: Config,
    cohort: Cohort,
    table: SplitTable,
    context: ProcessContext,
    *,
    last_relu: bool,
) -> Features:
    train, test = (
        extract_features(network, cohort, ids, config.data, context, last_relu=last_relu).features_NC
        for ids in (table.train_id_N, table.test_id_N)
    )
    return train, test


def _by_centroid(model: ClusterModel, features: Features, table: SplitTable) -> ClusteredSplits:
    train, test = features
    return ClusteredSplits(
        train_cluster_N=model.assign(train),
        train_label_N=table.train_label_N,
        test_cluster_N=model.assign(test),
        test_label_N=table.test_label_N,
        train_points_NP=model.project(train),
        test_points_NP=model.project(test),
        space=model.space,
    )


@torch.no_grad()
def _head_answer(
    network: ClusterNetwork, features_NC: NDArray[np.float32], context: ProcessContext
) -> NDArray[np.int64]:
    logits_NK = network.classify(torch.from_numpy(features_NC).to(context.device))
    return logits_NK.argmax(dim=1).cpu().numpy()


def _nearest_distance(model: ClusterModel | None, features: Features) -> NDArray[np.float32]:
    rows = np.concatenate(features)
    if model is None:
        return np.full(len(rows), np.nan, dtype=np.float32)
    nearest_N: NDArray[np.float32] = model.distances(model.project(rows)).min(axis=1)
    return nearest_N
