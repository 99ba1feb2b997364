"""The supervised comparison: the same network, head, sampling and engine, trained on the labels themselves."""

from collections.abc import Callable

import numpy as np

from dcam_dist.profiling import PhaseTimer
from dcam_dist.training.cycle import EpochResult
from dcam_dist.training.epoch import train_epoch
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.pseudo_labels import Clustered
from dcam_dist.types import UNASSIGNED, Assignment


def run_supervised(job: TrainingJob, *, first_epoch: int, on_epoch: Callable[[EpochResult], None]) -> Clustered:
    """Train on the labels until the last epoch; the head is never reset, unlabelled cases are never drawn.

    Returns:
        The labels in the place of a clustering, without a model; cases set aside have none.
    """
    clustered = _labels(job, first_epoch)
    for epoch in range(first_epoch, job.config.training.epochs):
        timer = PhaseTimer()
        with timer.phase("train"):
            outcome = train_epoch(job, clustered.assignment.label_N, epoch)
        clustered = _labels(job, epoch + 1)
        on_epoch(EpochResult(epoch, clustered, None, outcome, timer.seconds))
    return clustered


def _labels(job: TrainingJob, epoch: int) -> Clustered:
    label_N = np.where(job.aside.rows(), UNASSIGNED, job.grade_N)
    return Clustered(Assignment(label_N, job.case_id_N, epoch, float("nan")), None)
