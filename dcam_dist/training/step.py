"""One optimizer step, and which cases of it are whose."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dcam_dist.cohort import VolumeBatch
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import StepOutcome
from dcam_dist.training.extract import to_device
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.sampler import rank_share


def train_step(
    job: TrainingJob, parts: Sequence[VolumeBatch], batch_B: NDArray[np.int64], label_N: NDArray[np.int64], rate: float
) -> tuple[torch.Tensor, StepOutcome]:
    """One optimizer step on this rank's share of a global batch.

    The engine averages gradients over the ranks, and shares may differ by one case: so the summed loss is scaled by
    ranks / global batch, which makes the averaged gradient that of the mean loss over the whole batch.

    Args:
        job: Engine, settings; where ``job.class_weight_K`` is set, each case weighs as its label.
        parts: This rank's share of each part of the batch.
        batch_B: The global batch, rows of the training cases.
        label_N: Label of each training case.
        rate: What the learning rates are multiplied with.

    Returns:
        This rank's summed loss, hits and draws, detached, float64, on its device; and what became of the step.
    """
    device, weight_K = job.context.device, job.class_weight_K
    total = torch.zeros(3, dtype=torch.float64, device=device)
    shares = shares_of(job, batch_B)
    for index, (part, share) in enumerate(zip(parts, shares, strict=True)):
        target = torch.as_tensor(label_N[share], device=device)
        logits_BK = job.engine.forward(*to_device(part, job.context), last=index == len(parts) - 1)
        loss_sum = F.cross_entropy(logits_BK, target, weight=_on(weight_K, device), reduction="sum")
        job.engine.backward(loss_sum * (job.context.world_size / len(batch_B)))
        hits = (logits_BK.detach().argmax(dim=1) == target).sum()
        total += torch.stack([loss_sum.detach().double(), hits.double(), total.new_tensor(float(len(share)))])
    return total, job.engine.step(rate)


def shares_of(job: TrainingJob, batch_B: NDArray[np.int64]) -> list[list[int]]:
    """This rank's rows of each part of a global batch: of every part, each n-th."""
    parts_PB = batch_B.reshape(job.config.training.accumulation, -1).tolist()
    return [rank_share(part, job.context.rank, job.context.world_size) for part in parts_PB]


def patch_seeds(job: TrainingJob, epoch: int, first_step: int, steps: int) -> list[list[int]] | None:
    """A seed for the place of each patch of this rank's shares, from the run's seed, the epoch and the draw's number.

    The number counts the draws of all ranks, so that a draw has the same patch on any number of them. ``None`` where
    whole volumes are trained on.
    """
    if job.config.data.patch is None:
        return None
    size, of_epoch = job.config.training.batch_size, job.seed("patch", epoch)
    return [
        [derived_seed(of_epoch, "draw", step * size + place) for place in share]
        for step in range(first_step, first_step + steps)
        for share in shares_of(job, np.arange(size))
    ]


def _on(weight_K: NDArray[np.float32] | None, device: str) -> torch.Tensor | None:
    return None if weight_K is None else torch.from_numpy(weight_K).to(device)
