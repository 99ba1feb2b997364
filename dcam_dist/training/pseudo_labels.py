"""From features to pseudo-labels: cluster on rank 0, keep the cluster ids' meaning, tell all ranks."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering import ClusterFit
from dcam_dist.distributed import broadcast_array, same_everywhere
from dcam_dist.errors import DataError
from dcam_dist.metrics import apply_permutation, match_to_previous
from dcam_dist.training.collapse import refuse_collapse
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.state import Clustered
from dcam_dist.training.together import stop_together
from dcam_dist.types import UNASSIGNED, Assignment, FeatureTable


def cluster_cases(features: FeatureTable, previous: Assignment | None, epoch: int, job: TrainingJob) -> Clustered:
    """Scale, reduce and cluster the features; a cluster keeps the id of the previous one it overlaps most.

    Args:
        features: Of the training cases that are not set aside.
        previous: The assignment of the epoch before.
        epoch: The epoch that this clustering opens.
        job: Backend, settings and the training cases.

    Raises:
        DataError: When the features cannot be clustered, one cluster holds nearly all cases, or the ranks end up with
            different labels.
    """
    fit, problem = _fit_on_main(features, previous, epoch, job)
    stop_together(problem, job.context)
    label_N = _of_all_cases(fit.label_N if fit else None, features, job)
    label_N = broadcast_array(label_N, job.context)
    if not same_everywhere(label_N, job.context):
        raise DataError(
            f"the ranks hold different pseudo-labels in epoch {epoch + 1}; start again from the last checkpoint"
        )
    inertia, repaired = (fit.inertia, fit.repaired) if fit else (float("nan"), 0)
    return Clustered(Assignment(label_N, job.case_id_N, epoch, inertia, repaired), fit)


def _fit_on_main(
    features: FeatureTable, previous: Assignment | None, epoch: int, job: TrainingJob
) -> tuple[ClusterFit | None, DataError | None]:
    if not job.context.is_main:
        return None, None
    try:
        fit = job.backend.fit(features.features_NC, job.config.clustering, job.seed("k-means", epoch))
        refuse_collapse(fit.label_N, job.config.clustering.clusters, epoch)
    except DataError as error:
        return None, error
    if previous is None:
        return fit, None
    label_N = _of_all_cases(fit.label_N, features, job)
    new_id_K = match_to_previous(previous.label_N, label_N, job.config.clustering.clusters)
    model = fit.model.with_cluster_order(new_id_K)
    return replace(fit, model=model, label_N=apply_permutation(fit.label_N, new_id_K)), None


def _of_all_cases(label_N: NDArray[np.int64] | None, features: FeatureTable, job: TrainingJob) -> NDArray[np.int64]:
    cluster = {} if label_N is None else dict(zip(features.case_id_N, label_N.tolist(), strict=True))
    return np.array([cluster.get(case_id, UNASSIGNED) for case_id in job.case_id_N], dtype=np.int64)
