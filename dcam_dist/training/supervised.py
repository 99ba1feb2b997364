"""The supervised comparison: the same network, head, sampling and engine, trained on the labels themselves."""

from collections.abc import Callable

from dcam_dist.profiling import PhaseTimer
from dcam_dist.training.cycle import EpochResult
from dcam_dist.training.epoch import train_epoch
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.pseudo_labels import Clustered
from dcam_dist.types import Assignment


def run_supervised(job: TrainingJob, *, first_epoch: int, on_epoch: Callable[[EpochResult], None]) -> Clustered:
    """Train on the labels until the last epoch; the head is never reset, unlabelled cases are never drawn.

    Returns:
        The labels in the place of a clustering, without a model.
    """
    assignment = Assignment(job.grade_N, job.case_id_N, first_epoch, float("nan"))
    clustered = Clustered(assignment, None)
    for epoch in range(first_epoch, job.config.training.epochs):
        timer = PhaseTimer()
        with timer.phase("train"):
            outcome = train_epoch(job, job.grade_N, epoch)
        on_epoch(EpochResult(epoch, clustered, None, outcome, timer.seconds))
    return clustered
