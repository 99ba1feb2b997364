"""From features to pseudo-labels: cluster, keep the cluster ids' meaning, make sure that all ranks have the same."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering import ArrayRows, ClusterModel
from dcam_dist.distributed import ProcessContext, broadcast_array, ranks_of, same_everywhere
from dcam_dist.errors import DataError
from dcam_dist.metrics import match_to_previous
from dcam_dist.training.collapse import refuse_collapse
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.state import Clustered
from dcam_dist.types import UNASSIGNED, Assignment, FeatureTable


def cluster_cases(features: FeatureTable, previous: Assignment | None, epoch: int, job: TrainingJob) -> Clustered:
    """Scale, reduce and cluster the features; a cluster keeps the id of the previous one it overlaps most.

    Args:
        features: Of the training cases that are not set aside.
        previous: The assignment of the epoch before.
        epoch: The epoch that this clustering opens.
        job: Backend, settings and the training cases.

    Raises:
        DataError: When the features cannot be clustered, or the ranks end up with different labels.
        Collapsed: When one cluster holds nearly all cases.
    """
    backend, settings, context = job.backend, job.config.clustering, job.context
    mine = _own_rows(features.features_NC, context)
    fit = backend.fit(ArrayRows(mine), settings, job.seed("k-means", epoch), ranks_of(context))
    refuse_collapse(fit.size_K, epoch, tell=context.is_main)
    model = fit.model if previous is None else _matched(fit.model, features, previous, job)
    label_N = broadcast_array(_of_all_cases(model.assign(features.features_NC), features, job), context)
    if not same_everywhere(label_N, context):
        raise DataError(
            f"the ranks hold different pseudo-labels in epoch {epoch + 1}; start again from the last checkpoint"
        )
    assignment = Assignment(label_N, job.case_id_N, epoch, fit.inertia, fit.repaired)
    return Clustered(assignment, model, model.project(features.features_NC))


def _own_rows(rows_NC: NDArray[np.float32], context: ProcessContext) -> NDArray[np.float32]:
    """This rank's part of what all ranks hold: a block, so that the ranks' parts in their order are the whole."""
    return np.array_split(rows_NC, context.world_size)[context.rank]


def _matched(model: ClusterModel, features: FeatureTable, previous: Assignment, job: TrainingJob) -> ClusterModel:
    label_N = _of_all_cases(model.assign(features.features_NC), features, job)
    return model.with_cluster_order(match_to_previous(previous.label_N, label_N, job.config.clustering.clusters))


def _of_all_cases(label_N: NDArray[np.int64], features: FeatureTable, job: TrainingJob) -> NDArray[np.int64]:
    cluster = dict(zip(features.case_id_N, label_N.tolist(), strict=True))
    return np.array([cluster.get(case_id, UNASSIGNED) for case_id in job.case_id_N], dtype=np.int64)
