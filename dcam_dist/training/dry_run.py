"""``train --dry-run``: one step, to see shapes and memory before anything is paid for."""

from dataclasses import dataclass

import numpy as np

from dcam_dist.cohort import stream_batches
from dcam_dist.config import Config
from dcam_dist.distributed import open_processes, share_notes
from dcam_dist.models import parameter_counts
from dcam_dist.profiling import peak_memory_bytes
from dcam_dist.training.extract import refuse_damaged
from dcam_dist.training.job import prepare_job
from dcam_dist.training.precision import resolve_precision
from dcam_dist.training.step import patch_seeds, shares_of, train_step


@dataclass(frozen=True)
class DryRun:
    """What one step showed.

    Attributes:
        volume_shape: (B, 1, D, H, W) of this rank's share of one part of the batch.
        parameters: Of the network in use, without its head.
        loss: Summed loss of the share.
        peak_memory_bytes: Of this process.
        is_main: Whether this is rank 0.
    """

    volume_shape: tuple[int, ...]
    parameters: int
    loss: float
    peak_memory_bytes: int
    is_main: bool


def dry_run(config: Config) -> DryRun:
    """One training step on the first cases of the cohort; writes no file.

    Raises:
        UsageError, DataError: As ``train``.
    """
    with open_processes(config.training.timeout_s) as context:
        config, _ = resolve_precision(config, context)
        job = prepare_job(config, context)
        cases = len(job.case_id_N)
        batch_B = np.arange(config.training.batch_size) % cases
        names = [[job.case_id_N[row] for row in share] for share in shares_of(job, batch_B)]
        seeds = patch_seeds(job, 0, 0, 1)
        parts = list(stream_batches(job.cohort, names, config.data, patch_seeds=seeds))
        refuse_damaged(
            share_notes({name: why for part in parts for name, why in part.damaged.items()}, context), job.cohort
        )
        job.engine.network.train()
        loss = train_step(job, parts, batch_B, np.arange(cases) % config.classes, 1.0)[0][0]
        parameters = parameter_counts(config.network)[int(config.method == "baseline")]
        peak = peak_memory_bytes(context.device)
        return DryRun(parts[0].volume_BCDHW.shape, parameters, float(loss), peak, context.is_main)
