"""One epoch of training f_θ and g_W together on given labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dcam_dist.cohort import VolumeBatch, stream_batches
from dcam_dist.distributed import sum_over_ranks
from dcam_dist.errors import DataError
from dcam_dist.training.extract import to_device
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.sampler import draw_batches, rank_share


@dataclass(frozen=True)
class EpochOutcome:
    """What an epoch of training came to.

    Attributes:
        loss: Mean loss over all draws of all ranks.
        hit_rate: Share of the draws whose label the head gave before the step that used them.
        steps: Optimizer steps.
        volumes: Cases drawn by all ranks.
        stall_s: Seconds that this rank waited for volumes.
    """

    loss: float
    hit_rate: float
    steps: int
    volumes: int
    stall_s: float


def train_epoch(job: TrainingJob, label_N: NDArray[np.int64], epoch: int) -> EpochOutcome:
    """Minimize the multinomial logistic loss of the head's logits on the labels, over one epoch's draws.

    Every rank takes the same number of steps and has at least one case in each.

    Args:
        job: Engine, data and settings.
        label_N: Label of each of ``job.case_id_N``; negative ones are not drawn.
        epoch: Seeds the order.

    Raises:
        DataError: When the loss is no longer finite; the last checkpoint is then the last good state.
    """
    settings, context = job.config.training, job.context
    order = draw_batches(
        label_N,
        batch_size=settings.batch_size,
        passes=settings.passes,
        balance=settings.balance,
        rng=np.random.default_rng(job.seed("order", epoch)),
    )
    shares = [rank_share(batch, context.rank, context.world_size) for batch in order.tolist()]
    names = ([job.case_id_N[row] for row in share] for share in shares)
    job.engine.network.train()
    total, stall_s = torch.zeros(2, dtype=torch.float64, device=context.device), 0.0
    for share, batch in zip(shares, stream_batches(job.cohort, names, job.config.data), strict=True):
        total += train_step(job, batch, label_N[share])
        stall_s += batch.stall_s
    loss, hit_rate = (sum_over_ranks(total) / order.size).tolist()
    if not np.isfinite(loss):
        raise DataError(f"epoch {epoch}: the loss is not finite; lower training.optimizer.lr and start again")
    return EpochOutcome(loss, hit_rate, len(order), order.size, stall_s)


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
