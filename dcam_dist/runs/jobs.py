"""``RUN/jobs``: what was submitted to a scheduler for a run, and what the jobs' scripts noted of themselves.

RUN/jobs/4711.json        the record of a job, written when it was submitted
RUN/jobs/4711.events      a line for each start, requeue and end, appended by its script
RUN/jobs/4711_3.events    the same of the task 3 of an array
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.runs.small_files import replace_privately

JOBS = "jobs"

JobStage = Literal["waiting", "running", "done", "failed"]
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_EVENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (started|requeued|ended)((?: [a-z]+=\S*)*) *", re.ASCII)


@dataclass(frozen=True)
class JobRecord:
    """A job as it was submitted.

    Attributes:
        job_id: The scheduler's.
        name: ``ingest``, ``seal``, ``train``, ``evaluate``, ``maps`` or ``benchmarks``.
        script: The batch script.
        log: What it says.
        after: The jobs that it waits for.
        submitted_s: Seconds since 1970.
        tasks: Of an array; 0: it is none.
    """

    job_id: str
    name: str
    script: str
    log: str
    after: tuple[str, ...]
    submitted_s: FiniteFloat
    tasks: NonNegativeInt = 0


@dataclass(frozen=True)
class TaskState:
    """How a job, or a task of an array, stands by its own notes.

    Attributes:
        state: ``waiting`` (not begun, or requeued), ``running``, ``done`` or ``failed`` (another exit code than 0).
        since_s: Seconds since 1970; ``None`` where nothing was noted.
        host: Where it runs or last ran.
        restarts: How often it was requeued.
        exit_code: With which it ended.
    """

    state: JobStage = "waiting"
    since_s: float | None = None
    host: str | None = None
    restarts: int = 0
    exit_code: int | None = None


@dataclass(frozen=True)
class JobState:
    """A submitted job and how it stands.

    Attributes:
        job: As submitted.
        now: Of an array: of the task that was heard of last, with the state of the whole. An array runs while a task
            does, has failed when one has and none is left to run, and is done when all are.
        counts: Of an array: how many of its tasks are in each state that occurs.
    """

    job: JobRecord
    now: TaskState
    counts: Mapping[JobStage, int] = field(default_factory=dict)


def write_job(run: Path, job: JobRecord) -> Path:
    """Write the record of a job; makes ``RUN/jobs`` where it is missing.

    Returns:
        ``RUN/jobs/<job_id>.json``.

    Raises:
        UsageError: When the id is none that may be a file's name.
        EnvironmentFault: When it cannot be written.
    """
    if not _JOB_ID.fullmatch(job.job_id):
        raise UsageError(f"{job.job_id!r}: no id of a job; letters, digits, dots and dashes were expected")
    path = run / JOBS / f"{job.job_id}.json"
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_privately(path, json.dumps(asdict(job), indent=1))
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written ({error.strerror}); choose another output") from None
    return path


def read_jobs(run: Path) -> tuple[JobState, ...]:
    """The jobs of a run in the order of their submission, without those whose record is damaged.

    Raises:
        OSError: When a file cannot be read.
    """
    found = (_read_record(path) for path in (run / JOBS).glob("[!.]*.json"))
    jobs = sorted((job for job in found if job is not None), key=lambda job: (job.submitted_s, job.job_id))
    return tuple(_state_of(run / JOBS, job) for job in jobs)


def task_state(events: str) -> TaskState:
    """Read the notes of one job or task, without lines that were cut off or are damaged.

    Args:
        events: Lines such as ``2026-11-27T01:20:03Z started host=n1 restart=0``, ``… requeued exit=75 restart=1``,
            ``… ended exit=0``.
    """
    state = TaskState()
    for line in events.split("\n")[:-1]:  # what has no end of line yet may be the half of a number
        state = _after(state, line)
    return state


def _after(state: TaskState, line: str) -> TaskState:
    found = _EVENT.fullmatch(line)
    if found is None:
        return state
    try:
        since_s = datetime.fromisoformat(found[1]).timestamp()
    except ValueError:
        return state
    said = dict(pair.split("=", 1) for pair in found[3].split())
    code, restarts = _number(said.get("exit")), _number(said.get("restart"))
    if found[2] == "started":
        return TaskState("running", since_s, said.get("host") or None, max(restarts or 0, state.restarts))
    if found[2] == "requeued":
        return TaskState("waiting", since_s, state.host, state.restarts + 1 if restarts is None else restarts)
    if code is None:
        return state
    return TaskState("failed" if code else "done", since_s, state.host, state.restarts, code)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,6}", text, re.ASCII) else None


def _read_record(path: Path) -> JobRecord | None:
    try:
        job = TypeAdapter(JobRecord).validate_json(path.read_bytes() if path.is_file() else b"")
    except ValidationError:
        return None
    return job if f"{job.job_id}.json" == path.name else None


def _state_of(folder: Path, job: JobRecord) -> JobState:
    if not job.tasks:
        return JobState(job, _noted(folder / f"{job.job_id}.events"))
    noted = [_noted(path) for path in folder.glob(f"{job.job_id}_*.events")]
    counts = Counter(task.state for task in noted)
    if silent := max(0, job.tasks - len(noted)):
        noted.append(TaskState())
        counts["waiting"] += silent
    return JobState(job, _of_array(noted), dict(counts))


def _of_array(tasks: Sequence[TaskState]) -> TaskState:
    states = {task.state for task in tasks}
    latest = max(tasks, key=lambda task: task.since_s or 0.0)
    order: tuple[JobStage, ...] = ("running", "waiting", "failed", "done")
    whole = next(state for state in order if state in states)
    if whole == "waiting" and states != {"waiting"}:
        whole = "running"  # some tasks have ended, others have still to begin
    codes = [task.exit_code for task in tasks if task.exit_code]
    code = {"failed": max(codes, default=None), "done": 0}.get(whole)
    return TaskState(whole, latest.since_s, latest.host, max(task.restarts for task in tasks), code)


def _noted(events: Path) -> TaskState:
    return task_state(events.read_text(encoding="utf-8", errors="replace")) if events.is_file() else TaskState()
