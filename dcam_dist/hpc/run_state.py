"""The state of a run, from its files."""

from collections.abc import Sequence
from typing import Literal

from dcam_dist.errors import StopRequested
from dcam_dist.hpc.run_files import RunFiles
from dcam_dist.runs.jobs import JobState
from dcam_dist.types import Phase

SILENT_S = 180.0
"""A start that has not spoken for so long, twelve times its interval, no longer works."""
BEGINNING_S = 900.0
"""So long may a job take from its start to the opening of the run: containers, imports, the meeting of the ranks."""

State = Literal["prepared", "waiting", "starting", "training", "silent", "stopped", "failed", "finished", "unknown"]
_INTERRUPTED, KILLED = 130, 137


def state_of(files: RunFiles, now: float) -> State:
    """The state of a run; ``RunStatus`` explains each.

    Args:
        files: Of the run.
        now: Seconds since 1970.
    """
    live, job = files.live, training_job(files)
    if live is not None and live.ended is None and now - live.time_s <= SILENT_S:
        return "starting" if live.phase is None else "training"
    if _came_to_its_end(files):
        return "finished"
    if job is not None and (job.now.state == "waiting" or _begins(job, files, now)):
        return "waiting" if job.now.state == "waiting" else "starting"
    return _after_a_start(files)


def _after_a_start(files: RunFiles) -> State:
    _, exit_code = how_it_left(files)
    if exit_code is not None:
        return "stopped" if exit_code in (StopRequested.exit_code, _INTERRUPTED) else "failed"
    if files.live is not None:
        return "silent"
    return "unknown" if files.saved is not None or files.metrics else "prepared"


def training_job(files: RunFiles) -> JobState | None:
    """The training that was submitted last."""
    trainings = [job for job in files.jobs if job.job.name == "train"]
    return trainings[-1] if trainings else None


def stranded(jobs: Sequence[JobState]) -> dict[str, str]:
    """Jobs that wait for one that has failed, or for one that is stranded itself: most schedulers never start them.

    Args:
        jobs: In the order of their submission.

    Returns:
        For each such job the failed one.
    """
    failed = {job.job.job_id: job.job.job_id for job in jobs if job.now.state == "failed"}
    found: dict[str, str] = {}
    for job in jobs:
        behind = [(failed | found)[name] for name in job.job.after if name in failed | found]
        if job.now.state == "waiting" and not job.now.restarts and behind:
            found[job.job.job_id] = behind[0]
    return found


def how_it_left(files: RunFiles) -> tuple[str | None, int | None]:
    """Why the latest start left, and its exit code: as it said itself, else as its job noted; ``None`` if it has not.

    A process that is killed cannot say so, and one may end before it comes to the run.
    """
    live, job = files.live, training_job(files)
    if live is not None and live.ended is not None:
        return live.ended, live.exit_code
    if job is None or job.now.exit_code is None or job.now.since_s is None:
        return None, None
    if live is not None and job.now.since_s < live.started_s:
        return None, None
    killed = ", killed: by its memory limit, or by hand" if job.now.exit_code == KILLED else ""
    return f"job {job.job.job_id} ended with exit code {job.now.exit_code}{killed}", job.now.exit_code


def _came_to_its_end(files: RunFiles) -> bool:
    live, saved, config = files.live, files.saved, files.config
    if saved is None or saved.position.phase is not Phase.DONE or config is None:
        return False
    # a supervised run may stop early; another one that closed before its last epoch has been given more of them
    return saved.position.epoch >= config.training.epochs or (live is not None and live.exit_code == 0)


def _begins(job: JobState, files: RunFiles, now: float) -> bool:
    """Whether a job runs that has not yet come to open the run."""
    since_s, live = job.now.since_s, files.live
    if job.now.state != "running" or since_s is None or now - since_s > BEGINNING_S:
        return False
    return live is None or live.time_s < since_s
