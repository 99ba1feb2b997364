"""The supervised comparison: the same network, head, sampling and engine, trained on the labels themselves.

Its cycle has one phase. After each epoch the network is judged on the patients kept out of training, if there are any:
training ends after so many epochs without a better loss, and the run's result is the network at its best.
"""

import logging
import time
from dataclasses import replace

import numpy as np
from torch import Tensor

from dcam_dist.errors import Diverged, UsageError
from dcam_dist.runs import BestWeights, Checkpoint
from dcam_dist.training.cycle import run_phases
from dcam_dist.training.epoch import train_epoch
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.state import Clustered, CycleState, EpochResult
from dcam_dist.training.validation import Validation, validate
from dcam_dist.types import UNASSIGNED, Assignment, Phase

log = logging.getLogger(__name__)


def run_supervised(job: TrainingJob, state: CycleState) -> CycleState:
    """Train on the labels from where the run stands to its end; the head is never reset.

    Returns:
        The state with the labels that were trained on in the place of a clustering, without a model: none for cases
        kept out to validate on or set aside. The engine holds the best weights where there were cases to validate on.

    Raises:
        StopRequested: When it was asked to leave; a checkpoint then holds the state.
    """
    return run_phases(job, state, {Phase.TRAIN: train_on_labels})


def train_on_labels(job: TrainingJob, state: CycleState) -> CycleState:
    """One epoch: network and head together on the labels, then validation; or, when training is over, the end."""
    done = state.position.epoch
    patience = job.config.supervised.patience if job.validation_N.any() else None
    if not state.position.step and is_over(done, state.best, epochs=job.config.training.epochs, patience=patience):
        return _finished(job, state)
    trained, result = train_epoch(job, replace(state, clustered=_labels(job, done)))
    if job.validation_N.any():
        trained, result = _validated(job, trained, result)
    job.on_epoch(result)
    return trained.next_epoch(Phase.TRAIN)


def refuse_other_grades(job: TrainingJob, checkpoint: Checkpoint) -> None:
    """Refuse to go on where the grades that were trained on are no longer the cohort's.

    Raises:
        UsageError: Says how many differ.
    """
    if checkpoint.assignment is None:
        return
    trained, now = checkpoint.assignment.by_case(), _labels(job, checkpoint.epoch).assignment.by_case()
    unknown = {case_id for case_id in checkpoint.aside if trained.get(case_id) == UNASSIGNED}
    if count := sum(trained[case_id] != now[case_id] for case_id in trained.keys() - unknown):
        raise UsageError(
            f"{job.config.data.cohort}: grades of {count} training case(s) are not those that this run was trained on "
            "(ingested again since?); train anew into another output"
        )


def better(
    best: BestWeights | None, validation: Validation, weights: dict[str, Tensor], epoch: int
) -> BestWeights | None:
    """The best weights so far, those of this epoch among them. A loss that is not finite is never better."""
    if validation.loss < (float("inf") if best is None else best.loss):
        copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in weights.items()}
        return BestWeights(epoch, validation.loss, copies)
    return best


def is_over(epochs_done: int, best: BestWeights | None, *, epochs: int, patience: int | None) -> bool:
    """Whether training has ended.

    Args:
        epochs_done: Epochs trained.
        best: The best weights so far.
        epochs: The most epochs.
        patience: Epochs without a better loss; ``None`` where nothing is validated.
    """
    without_better = epochs_done - (0 if best is None else best.epoch + 1)
    return epochs_done >= epochs or (patience is not None and without_better >= patience)


def _validated(job: TrainingJob, state: CycleState, result: EpochResult) -> tuple[CycleState, EpochResult]:
    started, epoch = time.perf_counter(), state.position.epoch
    validation = validate(job, state)  # left in here, a run takes none of the epoch's steps again
    seconds = state.spent("validate", time.perf_counter() - started)
    best = better(state.best, validation, job.engine.network.state_dict(), epoch)
    return (
        replace(state, best=best, seconds=seconds),
        replace(result, validation=validation.metrics(), seconds=seconds),
    )


def _finished(job: TrainingJob, state: CycleState) -> CycleState:
    done = state.position.epoch
    if state.best is not None:
        job.engine.load_state({f"network.{name}": value for name, value in state.best.network.items()})
        if job.context.is_main:
            log.info(
                "%d epochs trained; kept the weights of epoch %d, the best on validation", done, state.best.epoch + 1
            )
    if not all(bool(parameter.isfinite().all()) for parameter in job.engine.network.parameters()):
        raise Diverged(f"the weights are not finite after {done} epochs")
    return state.then(Phase.DONE, clustered=_labels(job, done))


def _labels(job: TrainingJob, epoch: int) -> Clustered:
    label_N = np.where(job.aside.rows() | job.validation_N, UNASSIGNED, job.grade_N)
    return Clustered(Assignment(label_N, job.case_id_N, epoch, float("nan")), None, None)
