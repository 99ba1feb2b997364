"""Staging before training: one rank of each node copies, the others wait with it, a bounded time at each meeting."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

from dcam_dist.cohort.stage import GIB, stage_cases, staged_cohort
from dcam_dist.distributed import all_true, share_notes
from dcam_dist.errors import DcamError
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.state import CycleState
from dcam_dist.training.together import stop_together

log = logging.getLogger(__name__)

SLICE_S = 20.0  # of copying between two meetings of the ranks; far below the longest wait for another rank


def stage_training_cases(job: TrainingJob, state: CycleState) -> TrainingJob:
    """Copy the training cases to ``data.stage`` of every node and read from there; without that setting, do nothing.

    Cases that are damaged in the cohort are set aside. However long the copy takes, no wait for another rank is longer
    than ``training.timeout_s``.

    Args:
        job: The job; its cohort is read.
        state: What the cycle goes on with; saved where the run is asked to leave while it copies.

    Raises:
        UsageError: When ``data.stage`` names a variable that is not set.
        EnvironmentFault: When a disk has no room or refuses; on the rank that met it.
        FailedElsewhere: On the other ranks then.
        StopRequested: When the run was asked to leave; what is copied stays.
    """
    folder = job.config.data.stage
    if folder is None:
        return job
    faults: dict[str, str] = {}
    copying, problem, done = _copying(job, faults), None, False
    while not all_true(done, job.context):
        try:
            done = next(copying, None) is None
        except DcamError as error:
            problem = error
        stop_together(problem, job.context)
        job.boundary.cross(state.position, lambda: state)
    job.aside.add(share_notes(faults, job.context), state.position.epoch, "stage")
    return replace(job, cohort=staged_cohort(job.cohort, folder))


def _copying(job: TrainingJob, faults: dict[str, str]) -> Iterator[float]:
    """Copy for a while, and yield; on all ranks but one of each node there is nothing to copy."""
    assert job.config.data.stage is not None  # noqa: S101
    staged = staged_cohort(job.cohort, job.config.data.stage).path
    if job.context.local_rank:
        return
    slice_s = min(SLICE_S, job.config.training.timeout_s / 4)
    copied, started = 0, time.monotonic()
    until = started + slice_s
    for case in stage_cases(job.cohort, job.case_id_N, staged):
        copied += case.copied_bytes
        if case.fault is not None:
            faults[case.case_id] = case.fault
        if time.monotonic() > until:
            yield slice_s
            until = time.monotonic() + slice_s
    if job.context.is_main:
        count, seconds = len(job.case_id_N) - len(faults), time.monotonic() - started
        log.info("staged %d cases to %s: %.2f GiB copied in %.0f s", count, staged, copied / GIB, seconds)
