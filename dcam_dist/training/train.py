"""``train``: join the ranks, go on from the last checkpoint, run the method, save and log every epoch."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import BaseModel
from torch import get_num_threads

from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext, all_true, max_over_ranks, open_processes
from dcam_dist.errors import UsageError
from dcam_dist.models import parameter_counts
from dcam_dist.profiling import peak_memory_bytes
from dcam_dist.runs import (
    Checkpoint,
    MetricsLog,
    check_training_cases,
    fingerprint,
    first_start,
    go_back,
    latest_checkpoint,
    open_metrics,
    open_run_directory,
    rank_log,
    run_lock,
    write_checkpoint,
)
from dcam_dist.runs.live import STOP_FILE
from dcam_dist.training.boundary import Boundary
from dcam_dist.training.cycle import run_cycle
from dcam_dist.training.epoch_metrics import console_line, epoch_metrics
from dcam_dist.training.job import TrainingJob, prepare_job
from dcam_dist.training.keeping import checkpoint_of, resume, seed_generators
from dcam_dist.training.leaving import Leaving, end_of_time, expected_save_s, hearing_signals
from dcam_dist.training.precision import resolve_precision
from dcam_dist.training.progress import NO_PROGRESS, Progress, followed
from dcam_dist.training.staging import stage_training_cases
from dcam_dist.training.state import CycleState, EpochResult
from dcam_dist.training.supervised import is_over, refuse_other_grades, run_supervised
from dcam_dist.training.together import on_main, same_on_all_ranks, together
from dcam_dist.types import Phase, Position

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSummary:
    """A finished training: where it is and how many epochs it has seen, those of earlier starts included."""

    run: Path
    epochs: int
    is_main: bool


def train(
    config: Config, *, fresh: bool = False, changes: Sequence[str] = (), progress: Progress = NO_PROGRESS
) -> TrainSummary:
    """Train one method on one cohort; call it in one process, or in each that a launcher started.

    Goes on from the newest checkpoint in ``config.output`` that verifies.

    Args:
        config: What to train, on what, where to.
        fresh: Begin anew in an output that holds a run; the old one is moved aside.
        changes: Settings that may differ from those that the run was begun with, as ``section.key``.
        progress: Told on rank 0 how far the training is.

    Raises:
        UsageError: Configuration, cohort or output do not fit together.
        DataError: The cohort cannot be trained on, or training diverged.
        EnvironmentFault: The output cannot be written, or the ranks cannot meet.
        RankLost: A rank died, hangs, or is at another place of the program.
        StopRequested: It was asked to leave, and has saved.
    """
    config, leaving = _with_absolute_paths(config), Leaving()
    with hearing_signals(leaving), open_processes(config.training.timeout_s) as context, ExitStack() as stack:
        if fresh and not all_true(first_start() and not context.restarted, context):
            fresh = False
            log.info("--fresh is for the first start; this is a restart, so the run goes on")
        config, why = resolve_precision(config, context, fresh=fresh)
        job = prepare_job(config, context)
        run = _open_run(config, context, stack, fresh=fresh, changes=changes)
        if config.training.rank_logs:
            stack.enter_context(rank_log(run, context.rank, context.world_size))
        told = stack.enter_context(followed(config, progress if context.is_main else NO_PROGRESS))
        if context.is_main:
            leaving.run, leaving.end_s = run, end_of_time(config.training.max_minutes)
        checkpoint = _newest(run, config, job)
        _announce(job, checkpoint, why)
        if checkpoint is not None and checkpoint.finished:
            epochs = checkpoint.epoch
        else:
            state = _begin(job, checkpoint)
            job = replace(job, boundary=_boundary(job, run, leaving, checkpoint, state.position))
            job = _telling(stage_training_cases(job, state), run, state, stack, told)
            run_method = run_supervised if config.method == "supervised" else run_cycle
            epochs = run_method(job, state).position.epoch
        return TrainSummary(run, epochs, context.is_main)


def _open_run(
    config: Config, context: ProcessContext, stack: ExitStack, *, fresh: bool, changes: Sequence[str]
) -> Path:
    if config.output is None:
        raise UsageError("output: not set; say where the run goes with output=RUN")
    run = config.output

    def open_it() -> None:
        stack.enter_context(run_lock(run))
        open_run_directory(config, fresh=fresh, changes=changes)
        (run / STOP_FILE).unlink(missing_ok=True)

    on_main(open_it, context)
    return run


def _newest(run: Path, config: Config, job: TrainingJob) -> Checkpoint | None:
    """The checkpoint to go on from, the same on all ranks."""

    def read() -> Checkpoint | None:
        checkpoint = latest_checkpoint(run)
        if checkpoint is not None and checkpoint.finished and not _is_over(checkpoint, config, job):
            checkpoint = latest_checkpoint(run, before_done=True)  # more epochs were asked for
        if checkpoint is not None:
            check_training_cases(job.cohort, checkpoint)
            if config.method == "supervised":
                refuse_other_grades(job, checkpoint)
        return checkpoint

    checkpoint = together(read, job.context)
    read_what = None if checkpoint is None else [str(checkpoint.position), fingerprint(checkpoint)]
    same_on_all_ranks(read_what, "checkpoints; all nodes must see the same run directory", job.context)
    return checkpoint


def _is_over(checkpoint: Checkpoint, config: Config, job: TrainingJob) -> bool:
    patience = config.supervised.patience if job.validation_N.any() else None
    return is_over(checkpoint.epoch, checkpoint.best, epochs=config.training.epochs, patience=patience)


def _begin(job: TrainingJob, checkpoint: Checkpoint | None) -> CycleState:
    """Load the checkpoint, or begin."""
    if checkpoint is None:
        first = Phase.TRAIN if job.config.method == "supervised" else Phase.EXTRACT
        seed_generators(job, 0)
        state = CycleState(Position(0, first))
    else:
        state = resume(job, checkpoint)
    job.aside.resume(checkpoint.aside if checkpoint and not state.between_epochs() else (), state.position.epoch)
    return state


def _telling(job: TrainingJob, run: Path, state: CycleState, stack: ExitStack, told: Progress) -> TrainingJob:
    """The job with those who are told how it goes."""
    metrics = list[MetricsLog]()
    on_main(
        lambda: metrics.append(stack.enter_context(open_metrics(run, job.config, state.position.epoch))), job.context
    )
    return replace(job, progress=told, on_epoch=partial(_tell_epoch, job, told, metrics))


def _boundary(job: TrainingJob, run: Path, leaving: Leaving, checkpoint: Checkpoint | None, at: Position) -> Boundary:
    every_s = 60.0 * job.config.training.checkpoint_minutes
    boundary = Boundary(
        job.context,
        save=partial(_save, job, run),
        go_back=lambda good, spare: go_back(run, good, spare=spare),
        every_s=every_s,
        leaving=leaving,
        first_save_s=expected_save_s(_most_saved_bytes(job)),
    )
    boundary.begin(at, checkpoint)
    return boundary


def _most_saved_bytes(job: TrainingJob) -> int:
    """Weights, up to two moments of each, the best weights; features of all cases, and their points."""
    network = job.engine.network
    weights = sum(parameter.nbytes for parameter in network.parameters())
    return 4 * weights + 2 * 4 * network.body.channels * len(job.case_id_N)


def _save(job: TrainingJob, run: Path, state: CycleState, proven: Position | None, sound: Position | None) -> None:
    checkpoint = replace(checkpoint_of(job, state), proven=proven, sound=sound)

    def write() -> None:
        write_checkpoint(run, checkpoint, job.config.training.keep_checkpoints)

    on_main(write, job.context)


def _tell_epoch(job: TrainingJob, progress: Progress, metrics: Sequence[MetricsLog], result: EpochResult) -> None:
    peak = max_over_ranks(peak_memory_bytes(job.context.device), job.context)

    # before the checkpoint: a resumed run drops the lines it repeats, but could not make up a lost one
    def tell() -> None:
        values = epoch_metrics(result, job, peak_memory_bytes=int(peak))
        for one in metrics:
            one.write(values)
        progress.epoch(values)
        log.info("%s", console_line(values, job.config.training.epochs))

    on_main(tell, job.context)


def _with_absolute_paths(config: Config) -> Config:
    """The run's configuration is read again from other folders; ``data.stage`` is each node's own to expand."""

    def absolute(section: BaseModel, *names: str) -> dict[str, Path]:
        given = {name: getattr(section, name) for name in names}
        return {name: path.absolute() for name, path in given.items() if path is not None}

    data = config.data.model_copy(update=absolute(config.data, "cohort"))
    training = config.training.model_copy(update=absolute(config.training, "deepspeed_config", "mlflow"))
    return config.model_copy(update={"data": data, "training": training, **absolute(config, "output")})


def _announce(job: TrainingJob, checkpoint: Checkpoint | None, precision: str) -> None:
    if not job.context.is_main:
        return
    proposed, baseline = parameter_counts(job.config.network)
    log.info(
        "%s on %d training cases, %d rank(s), %s; parameters: proposed %s, baseline %s (%+.1f %%)",
        job.config.method,
        len(job.case_id_N),
        job.context.world_size,
        job.context.device,
        f"{proposed:,}",
        f"{baseline:,}",
        100 * (baseline / proposed - 1),
    )
    log.info("%s", precision)
    if checkpoint is not None and checkpoint.finished:
        log.info("already finished, after %d epochs", checkpoint.epoch)
    elif checkpoint is not None:
        log.info("going on at %s%s", checkpoint.position, _unlike(job, checkpoint))


def _unlike(job: TrainingJob, checkpoint: Checkpoint) -> str:
    mine, its = (job.context.world_size, get_num_threads()), (checkpoint.ranks, checkpoint.threads)
    if mine == its:
        return ""
    return "; saved by {} rank(s) of {} thread(s), now {} of {}: the same within rounding".format(*its, *mine)
