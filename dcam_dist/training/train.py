"""``train``: join the ranks, go on from the last checkpoint, run the method, save and log every epoch."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcam_dist.cohort import stream_batches
from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext, all_true, open_processes, share_notes
from dcam_dist.errors import DcamError, UsageError
from dcam_dist.models import parameter_counts
from dcam_dist.profiling import peak_memory_bytes
from dcam_dist.runs import (
    Checkpoint,
    MetricsLog,
    check_training_cases,
    latest_checkpoint,
    open_run_directory,
    write_checkpoint,
)
from dcam_dist.training.cycle import EpochResult, run_cycle
from dcam_dist.training.epoch import patch_seeds, train_step
from dcam_dist.training.epoch_metrics import console_line, epoch_metrics
from dcam_dist.training.extract import refuse_damaged
from dcam_dist.training.job import TrainingJob, prepare_job
from dcam_dist.training.pseudo_labels import Clustered
from dcam_dist.training.sampler import rank_share
from dcam_dist.training.staging import stage_training_cases
from dcam_dist.training.supervised import run_supervised

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSummary:
    """A finished training: where it is and how many epochs it has seen, those of earlier starts included."""

    run: Path
    epochs: int
    is_main: bool


@dataclass(frozen=True)
class DryRun:
    """What one step showed.

    Attributes:
        volume_shape: (B, 1, D, H, W) of this rank's share.
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


def train(config: Config) -> TrainSummary:
    """Train one method on one cohort; call it in one process, or in each that torchrun started.

    Goes on from the newest checkpoint in ``config.output`` that verifies.

    Raises:
        UsageError: Configuration, cohort or output do not fit together.
        DataError: The cohort cannot be trained on, or training diverged.
        EnvironmentFault: The output cannot be written, or the ranks cannot meet.
    """
    config = _with_absolute_cohort(config)
    with open_processes(config.training.timeout_s) as context, ExitStack() as stack:
        job = prepare_job(config, context)
        run = _on_main_first(context, config)
        checkpoint = latest_checkpoint(run)
        _announce(job, checkpoint)
        if checkpoint is not None:
            check_training_cases(job.cohort, checkpoint)
            job.engine.load_state(checkpoint.engine)
        if checkpoint is None or not checkpoint.finished:
            completed = checkpoint.epoch if checkpoint else 0
            job.aside.forget_from(completed)
            job = stage_training_cases(job, completed)
            metrics = stack.enter_context(MetricsLog(run, completed)) if context.is_main else None
            _run_method(job, run, checkpoint, metrics)
        return TrainSummary(run, config.training.epochs, context.is_main)


def dry_run(config: Config) -> DryRun:
    """One training step on the first cases of the cohort; writes no file.

    Raises:
        UsageError, DataError: As ``train``.
    """
    with open_processes(config.training.timeout_s) as context:
        job = prepare_job(config, context)
        size = config.training.batch_size
        rows = rank_share([row % len(job.case_id_N) for row in range(size)], context.rank, context.world_size)
        seeds = patch_seeds(job, [rows], 0, 0)
        batch = next(stream_batches(job.cohort, [[job.case_id_N[row] for row in rows]], config.data, patch_seeds=seeds))
        refuse_damaged(share_notes(batch.damaged, context), job.cohort)
        job.engine.network.train()
        loss = train_step(job, batch, np.arange(len(rows)) % config.classes)[0]
        parameters = parameter_counts(config.network)[int(config.method == "baseline")]
        peak = peak_memory_bytes(context.device)
        return DryRun(batch.volume_BCDHW.shape, parameters, float(loss), peak, context.is_main)


def _run_method(job: TrainingJob, run: Path, start: Checkpoint | None, metrics: MetricsLog | None) -> None:
    def on_epoch(result: EpochResult) -> None:
        # metrics before the checkpoint: a resumed run drops the lines it repeats, but could not make up a lost one
        if metrics is not None:
            values = epoch_metrics(result, job)
            metrics.write(values)
            log.info("%s", console_line(values, job.config.training.epochs))
        _save(job, run, result.epoch + 1, result.clustered, finished=False)

    first_epoch = start.epoch if start else 0
    if job.config.method == "supervised":
        closing = run_supervised(job, first_epoch=first_epoch, on_epoch=on_epoch)
    else:
        previous = start.assignment if start else None
        closing = run_cycle(job, first_epoch=first_epoch, previous=previous, on_epoch=on_epoch)
    _save(job, run, job.config.training.epochs, closing, finished=True)


def _save(job: TrainingJob, run: Path, epoch: int, clustered: Clustered, *, finished: bool) -> None:
    problem: DcamError | None = None
    if job.context.is_main:
        model = clustered.fit.model if clustered.fit else None
        checkpoint = Checkpoint(epoch, finished, job.engine.state(), clustered.assignment, model)
        try:
            write_checkpoint(run, checkpoint, job.config.training.keep_checkpoints)
        except DcamError as error:
            problem = error
    if not all_true(problem is None, job.context):
        raise problem or DcamError("rank 0 could not save the checkpoint")


def _on_main_first(context: ProcessContext, config: Config) -> Path:
    problem: DcamError | None = None
    if context.is_main:
        try:
            open_run_directory(config)
        except DcamError as error:
            problem = error
    if not all_true(problem is None, context):
        raise problem or UsageError("rank 0 could not open the run directory")
    return open_run_directory(config)


def _with_absolute_cohort(config: Config) -> Config:
    if config.data.cohort is None:
        return config
    data = config.data.model_copy(update={"cohort": config.data.cohort.absolute()})
    return config.model_copy(update={"data": data})


def _announce(job: TrainingJob, checkpoint: Checkpoint | None) -> None:
    if not job.context.is_main:
        return
    proposed, baseline = parameter_counts(job.config.network)
    log.info(
        "%s on %d training cases, %d rank(s), %s, %s; parameters: proposed %s, baseline %s (%+.1f %%)",
        job.config.method,
        len(job.case_id_N),
        job.context.world_size,
        job.context.device,
        job.config.network.precision,
        f"{proposed:,}",
        f"{baseline:,}",
        100 * (baseline / proposed - 1),
    )
    if checkpoint is not None:
        log.info("going on after epoch %d%s", checkpoint.epoch, " (already finished)" if checkpoint.finished else "")
