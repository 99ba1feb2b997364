"""One epoch of training f_θ and g_W together on given labels."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dcam_dist.cohort import VolumeBatch, stream_batches
from dcam_dist.distributed import max_over_ranks, share_notes, sum_over_ranks
from dcam_dist.errors import DataError
from dcam_dist.training.extract import to_device
from dcam_dist.training.job import TrainingJob, derived_seed
from dcam_dist.training.sampler import draw_batches, rank_share, without_rows


@dataclass(frozen=True)
class EpochOutcome:
    """What an epoch of training came to.

    Attributes:
        loss: Mean loss over all draws of all ranks.
        hit_rate: Share of the draws whose label the head gave before the step that used them.
        steps: Optimizer steps.
        volumes: Cases drawn by all ranks.
        stall_s: Seconds that a rank waited for volumes, of the one that waited longest.
    """

    loss: float
    hit_rate: float
    steps: int
    volumes: int
    stall_s: float


@dataclass
class _Tally:
    """What this rank adds up: loss and hits on its device, seconds waited, and the steps of all."""

    loss_and_hits: torch.Tensor
    stall_s: float = 0.0
    steps: int = 0


def train_epoch(job: TrainingJob, label_N: NDArray[np.int64], epoch: int) -> EpochOutcome:
    """Minimize the multinomial logistic loss of the head's logits on the labels, over one epoch's draws.

    Every rank takes the same number of steps and has at least one case in each. Where a rank meets a damaged case, all
    leave it out of the rest of the draws, make whole batches of the others and go on.

    Args:
        job: Engine, data and settings.
        label_N: Label of each of ``job.case_id_N``; negative ones are not drawn.
        epoch: Seeds the order and the places of patches.

    Raises:
        DataError: When the loss is no longer finite (the last checkpoint is then the last good state), when too many
            cases are damaged, or no labelled one is left.
    """
    settings, context = job.config.training, job.context
    tally = _Tally(torch.zeros(2, dtype=torch.float64, device=context.device))
    batch_SB = _draw(job, label_N, epoch)
    job.engine.network.train()
    while len(batch_SB):
        done = tally.steps
        if _train_until_damage(job, batch_SB, label_N, epoch, tally):
            break
        batch_SB = without_rows(batch_SB[tally.steps - done :], job.aside.rows())
    if not tally.steps:
        raise DataError(f"epoch {epoch}: no undamaged case with a label is left to train on; mend the cohort")
    draws = tally.steps * settings.batch_size
    loss, hit_rate = (sum_over_ranks(tally.loss_and_hits) / draws).tolist()
    if not np.isfinite(loss):
        raise DataError(f"epoch {epoch}: the loss is not finite; lower training.optimizer.lr and start again")
    return EpochOutcome(loss, hit_rate, tally.steps, draws, max_over_ranks(tally.stall_s, context))


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


def _train_until_damage(
    job: TrainingJob, batch_SB: NDArray[np.int64], label_N: NDArray[np.int64], epoch: int, tally: _Tally
) -> bool:
    """Take a step with each batch; stop before the first of which a case is damaged. Whether all were taken."""
    context = job.context
    shares = [rank_share(batch, context.rank, context.world_size) for batch in batch_SB.tolist()]
    names = [[job.case_id_N[row] for row in share] for share in shares]
    seeds = patch_seeds(job, shares, epoch, tally.steps)
    with closing(stream_batches(job.cohort, names, job.config.data, patch_seeds=seeds)) as batches:
        # next() in the call: a name for the batch would keep its volumes while the next one is read
        return all(_take_step(job, next(batches), label_N[share], epoch, tally) for share in shares)


def _take_step(job: TrainingJob, batch: VolumeBatch, label_B: NDArray[np.int64], epoch: int, tally: _Tally) -> bool:
    tally.stall_s += batch.stall_s
    damaged = share_notes(batch.damaged, job.context)
    if damaged:
        job.aside.add(damaged, epoch, "train")
        return False
    tally.loss_and_hits += train_step(job, batch, label_B)
    tally.steps += 1
    return True


def patch_seeds(
    job: TrainingJob, shares: Sequence[Sequence[int]], epoch: int, first_step: int
) -> list[list[int]] | None:
    """A seed for the place of each patch of this rank's shares, from the run's seed, the epoch and the draw's number.

    The number counts the draws of all ranks, so that a draw has the same patch on any number of them. ``None`` where
    whole volumes are trained on.
    """
    if job.config.data.patch is None:
        return None
    rank, world, size = job.context.rank, job.context.world_size, job.config.training.batch_size
    of_epoch = job.seed("patch", epoch)
    return [
        [derived_seed(of_epoch, "draw", step * size + rank + index * world) for index in range(len(share))]
        for step, share in enumerate(shares, start=first_step)
    ]


def train_step(job: TrainingJob, batch: VolumeBatch, label_B: NDArray[np.int64] | Sequence[int]) -> torch.Tensor:
    """One optimizer step on this rank's share of a global batch.

    The engine averages gradients over the ranks, and shares may differ by one case: so the summed loss is scaled by
    ranks / global batch, which makes the averaged gradient that of the mean loss over the whole batch.

    Returns:
        This rank's summed loss and number of hits, detached, float64, on its device.
    """
    volume, mask = to_device(batch, job.context)
    target = torch.as_tensor(np.asarray(label_B), device=job.context.device)
    logits_BK = job.engine.forward(volume, mask)
    loss_sum = F.cross_entropy(logits_BK, target, reduction="sum")
    job.engine.backward(loss_sum * (job.context.world_size / job.config.training.batch_size))
    job.engine.step()
    return torch.stack([loss_sum.detach(), (logits_BK.detach().argmax(dim=1) == target).sum()]).double()
