"""The paper's cycle. Each epoch: extract, cluster, reset the head, train; and again.

"For each epoch, we first extracted features for all x_n by forward-passing x_n to f_θ with frozen parameters.
These features were later scaled and PCA-reduced. Next, k-means clustering was applied … The cluster assignment was
used as the classification pseudo-label for training a classification head g_W together with f_θ … The parameters
in g_W were reset to a random initialization at each epoch before training g_W."
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dcam_dist.profiling import PhaseTimer
from dcam_dist.training.epoch import EpochOutcome, train_epoch
from dcam_dist.training.extract import Extraction, extract_readable
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.pseudo_labels import Clustered, cluster_cases
from dcam_dist.types import Assignment


@dataclass(frozen=True, eq=False)
class EpochResult:
    """One turn of the cycle.

    Attributes:
        epoch: Its number, from 0.
        clustered: The clustering that gave its pseudo-labels.
        previous: The assignment before it; ``None`` in the first epoch.
        outcome: Loss, steps, stall.
        seconds: Wall seconds of each phase.
        extract_stall_s: Seconds that the extraction waited for volumes.
    """

    epoch: int
    clustered: Clustered
    previous: Assignment | None
    outcome: EpochOutcome
    seconds: dict[str, float]
    extract_stall_s: float = 0.0


def run_cycle(
    job: TrainingJob, *, first_epoch: int, previous: Assignment | None, on_epoch: Callable[[EpochResult], None]
) -> Clustered:
    """Turn the cycle until the last epoch.

    Args:
        job: Data, engine, settings.
        first_epoch: Where to go on; 0 for a fresh start.
        previous: The assignment of the epoch before.
        on_epoch: Called on every rank after each epoch; it logs and saves.

    Returns:
        The closing clustering: the features of the finished network, clustered once more and matched to the ids that
        the head was trained on, so that centroids, head and maps speak of the same clusters.
    """
    epochs = job.config.training.epochs
    for epoch in range(first_epoch, epochs):
        timer = PhaseTimer()
        with timer.phase("extract"):
            found = extract_training_features(job, epoch)
        with timer.phase("cluster"):
            clustered = cluster_cases(found.table, previous, epoch, job)
        with timer.phase("reset"):
            job.engine.reset_head(torch.Generator().manual_seed(job.seed("head", epoch)))
        with timer.phase("train"):
            outcome = train_epoch(job, clustered.assignment.label_N, epoch)
        on_epoch(EpochResult(epoch, clustered, previous, outcome, timer.seconds, found.stall_s))
        previous = clustered.assignment
    return cluster_cases(extract_training_features(job, epochs).table, previous, epochs, job)


def extract_training_features(job: TrainingJob, epoch: int) -> Extraction:
    """Features of the training cases under the present weights; those found damaged are set aside.

    Raises:
        DataError: When too many cases are damaged.
    """
    settings = job.config
    found = extract_readable(
        job.engine.network,
        job.cohort,
        [case_id for case_id in job.case_id_N if case_id not in job.aside],
        settings.data,
        job.context,
        last_relu=settings.training.last_relu,
    )
    job.aside.add(found.damaged, epoch, "extract")
    return found
