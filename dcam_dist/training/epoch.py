"""One epoch of training f_θ and g_W together on given labels."""

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dcam_dist.cohort import VolumeBatch, stream_batches
from dcam_dist.distributed import StepOutcome, max_over_ranks, sum_over_ranks
from dcam_dist.errors import DataError, Diverged
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.sampler import draw_batches, without_rows
from dcam_dist.training.schedule import rate_factor
from dcam_dist.training.state import CycleState, EpochOutcome, EpochResult, TrainingProgress
from dcam_dist.training.step import patch_seeds, shares_of, train_step
from dcam_dist.types import Position

log = logging.getLogger(__name__)


@dataclass
class _Tally:
    """What this rank adds up: loss, hits and draws on its device, seconds waited; and what all count alike."""

    batch_SB: NDArray[np.int64]
    loss_hits_draws: torch.Tensor
    stall_s: float
    skipped: int
    steps: int

    def progress(self) -> TrainingProgress:
        loss_sum, hits, draws = self.loss_hits_draws.tolist()
        return TrainingProgress(self.batch_SB, loss_sum, hits, draws, self.stall_s, self.skipped)


def train_epoch(job: TrainingJob, state: CycleState) -> tuple[CycleState, EpochResult]:
    """Minimize the multinomial logistic loss of the head's logits on the labels, over one epoch's draws.

    Every rank takes the same number of steps and has at least one case in each part of it. Where a rank meets a damaged
    case, all leave it out of the rest of the draws, make whole batches of the others and go on.

    Args:
        job: Engine, data and settings.
        state: Before the training phase, or at one of its steps.

    Returns:
        The state with the phase's seconds, and what the epoch came to.

    Raises:
        Diverged: When more than ``training.skipped_steps`` had a loss that is not finite.
        DataError: When too many cases are damaged, or no labelled one is left.
        StopRequested: When the run was asked to leave; it has saved.
    """
    assert state.clustered is not None  # noqa: S101
    label_N = state.clustered.assignment.label_N
    tally = _resume(job, state, label_N)
    job.engine.network.train()
    size = job.config.training.batch_size
    job.progress.phase(state.position, (tally.steps + len(tally.batch_SB)) * size, tally.steps * size)
    started = time.perf_counter()
    while len(tally.batch_SB):
        if not _train_until_damage(job, state, label_N, tally, started):
            tally.batch_SB = without_rows(tally.batch_SB, job.aside.rows())
    seconds = state.spent("train", time.perf_counter() - started)
    outcome = _outcome(job, tally, state.position.epoch)
    position = Position(state.position.epoch, state.position.phase, tally.steps)
    trained = replace(state, position=position, training=tally.progress(), seconds=seconds)
    result = EpochResult(state.position.epoch, state.clustered, state.previous, outcome, seconds, state.extract_stall_s)
    return trained, result


def _resume(job: TrainingJob, state: CycleState, label_N: NDArray[np.int64]) -> _Tally:
    before = state.training or TrainingProgress(_draw(job, label_N, state.position.epoch))
    sums = torch.tensor([before.loss_sum, before.hits, before.draws], dtype=torch.float64, device=job.context.device)
    return _Tally(before.batch_SB, sums, before.stall_s, before.skipped, state.position.step)


def _draw(job: TrainingJob, label_N: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
    settings = job.config.training
    if not (label_N >= 0).any():
        return np.empty((0, settings.batch_size), dtype=np.int64)
    return draw_batches(
        label_N,
        batch_size=settings.batch_size,
        passes=settings.passes,
        balance=settings.balance,
        rng=np.random.default_rng(job.seed("order", epoch)),
    )


def _outcome(job: TrainingJob, tally: _Tally, epoch: int) -> EpochOutcome:
    loss_sum, hits, draws = sum_over_ranks(tally.loss_hits_draws).tolist()
    if not tally.steps:
        raise DataError(f"epoch {epoch + 1}: no undamaged case with a label is left to train on; mend the cohort")
    if not draws and tally.skipped:
        raise _not_finite(job, tally, epoch)
    stall_s, taken = max_over_ranks(tally.stall_s, job.context), round(draws) // job.config.training.batch_size
    of_a_draw = 1 / draws if draws else float("nan")  # under fp16 the first steps may do no more than find the scale
    return EpochOutcome(loss_sum * of_a_draw, hits * of_a_draw, taken, round(draws), stall_s, tally.skipped)


def _train_until_damage(
    job: TrainingJob, state: CycleState, label_N: NDArray[np.int64], tally: _Tally, started: float
) -> bool:
    """Take a step with each batch; stop before the first of which a case is damaged. Whether all were taken."""
    epoch, total = state.position.epoch, tally.steps + len(tally.batch_SB)

    def position() -> Position:
        return replace(state.position, step=tally.steps)

    def here() -> CycleState:
        seconds = state.spent("train", time.perf_counter() - started)
        return replace(state, position=position(), training=tally.progress(), seconds=seconds)

    with closing(_parts_of_batches(job, tally.batch_SB, epoch, tally.steps)) as steps:
        while len(tally.batch_SB):
            parts = next(steps)
            tally.stall_s += sum(part.stall_s for part in parts)
            damaged = job.boundary.cross(position(), here, _damaged(parts))
            if damaged:
                job.aside.add(damaged, epoch, "train")
                return False
            rate = rate_factor(job.config.training.optimizer, epoch + tally.steps / total, job.config.training.epochs)
            _take_step(job, parts, label_N, tally, epoch, rate)
            del parts  # its volumes would stay in memory while the next ones are read
    return True


def _take_step(
    job: TrainingJob, parts: Sequence[VolumeBatch], label_N: NDArray[np.int64], tally: _Tally, epoch: int, rate: float
) -> None:
    batch_B, tally.batch_SB = tally.batch_SB[0], tally.batch_SB[1:]
    loss_hits_draws, outcome = train_step(job, parts, batch_B, label_N, rate)
    tally.steps += 1
    job.progress.advance(len(batch_B), loss=loss_hits_draws[0] / loss_hits_draws[2])
    if outcome is StepOutcome.TAKEN:
        tally.loss_hits_draws += loss_hits_draws
        job.boundary.prove()
    elif outcome is StepOutcome.NOT_FINITE:
        tally.skipped += 1
        job.boundary.doubt()
        _tolerate(job, tally, epoch)


def _tolerate(job: TrainingJob, tally: _Tally, epoch: int) -> None:
    if tally.skipped > job.config.training.skipped_steps:
        raise _not_finite(job, tally, epoch)
    if job.context.is_main:
        log.warning("epoch %d, step %d: loss or gradient not finite; left out", epoch + 1, tally.steps)


def _not_finite(job: TrainingJob, tally: _Tally, epoch: int) -> Diverged:
    return Diverged(
        f"epoch {epoch + 1}, step {tally.steps}: loss or gradient not finite, {tally.skipped} times in this epoch "
        f"(training.skipped_steps={job.config.training.skipped_steps})"
    )


def _damaged(parts: Sequence[VolumeBatch]) -> Mapping[str, str]:
    return {case_id: fault for part in parts for case_id, fault in part.damaged.items()}


def _parts_of_batches(
    job: TrainingJob, batch_SB: NDArray[np.int64], epoch: int, first_step: int
) -> Generator[list[VolumeBatch]]:
    """For each step, this rank's share of each part of the global batch, all in main memory."""
    shares = [share for batch_B in batch_SB for share in shares_of(job, batch_B)]
    names = [[job.case_id_N[row] for row in share] for share in shares]
    seeds = patch_seeds(job, epoch, first_step, len(batch_SB))
    with closing(stream_batches(job.cohort, names, job.config.data, patch_seeds=seeds)) as batches:
        for _ in range(len(batch_SB)):
            yield [next(batches) for _ in range(job.config.training.accumulation)]
