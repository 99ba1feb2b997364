"""From features to pseudo-labels: cluster on rank 0, keep the cluster ids' meaning, tell all ranks."""

from dataclasses import dataclass, replace

import numpy as np

from dcam_dist.clustering import ClusterFit
from dcam_dist.distributed import all_true, broadcast_array, same_everywhere
from dcam_dist.errors import DataError
from dcam_dist.metrics import apply_permutation, match_to_previous
from dcam_dist.training.job import TrainingJob
from dcam_dist.types import Assignment, FeatureTable


@dataclass(frozen=True, eq=False)
class Clustered:
    """One clustering of the training cases.

    Attributes:
        assignment: Cluster ids by case, the same on all ranks.
        fit: The model and the points; on rank 0 only.
    """

    assignment: Assignment
    fit: ClusterFit | None


def cluster_cases(features: FeatureTable, previous: Assignment | None, epoch: int, job: TrainingJob) -> Clustered:
    """Scale, reduce and cluster the features; a cluster keeps the id of the previous one it overlaps most.

    Raises:
        DataError: When the features cannot be clustered, or the ranks end up with different labels.
    """
    fit, problem = _fit_on_main(features, previous, epoch, job)
    if not all_true(problem is None, job.context):
        raise problem or DataError("rank 0 could not cluster the features")
    label_N = fit.label_N if fit else np.empty(len(features.case_id_N), dtype=np.int64)
    label_N = broadcast_array(label_N, job.context)
    if not same_everywhere(label_N, job.context):
        raise DataError(f"rank {job.context.rank}: the ranks hold different pseudo-labels in epoch {epoch}")
    inertia, repaired = (fit.inertia, fit.repaired) if fit else (float("nan"), 0)
    return Clustered(Assignment(label_N, features.case_id_N, epoch, inertia, repaired), fit)


def _fit_on_main(
    features: FeatureTable, previous: Assignment | None, epoch: int, job: TrainingJob
) -> tuple[ClusterFit | None, DataError | None]:
    if not job.context.is_main:
        return None, None
    try:
        fit = job.backend.fit(features.features_NC, job.config.clustering, job.seed("k-means", epoch))
    except DataError as error:
        return None, error
    if previous is None:
        return fit, None
    new_id_K = match_to_previous(previous.label_N, fit.label_N, job.config.clustering.clusters)
    model = fit.model.with_cluster_order(new_id_K)
    return replace(fit, model=model, label_N=apply_permutation(fit.label_N, new_id_K)), None
