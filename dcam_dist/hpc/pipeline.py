"""From a configuration and a site to the jobs of a study: ingest → train → evaluate → maps → report."""

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcam_dist.cohort import open_cohort
from dcam_dist.config import Config
from dcam_dist.config.site import Resources, Site, seconds_of
from dcam_dist.errors import UsageError
from dcam_dist.hpc.job import BatchJob, JobName
from dcam_dist.hpc.script import CHECKOUT

LAST_RANK_S = 120
"""Beyond ``training.timeout_s``, within which ranks end by themselves, srun waits so long for the last of them."""
SHORTEST_S = 120
"""Of a training on PBS or LSF, whose own time begins with it and is counted in minutes."""
REPEATS = 2
"""How often a job that keeps nothing of its work, and begins again, may go back into the queue."""


@dataclass(frozen=True)
class StudyRequest:
    """What the user asked for.

    Attributes:
        config: The resolved configuration, that of the site among it, with ``data.cohort`` and ``output``.
        config_file: Where it comes from; ``None``: the defaults.
        settings: Given besides, as ``section.key=value``.
        scans: What to ingest.
        nodes: Of the training; ``None``: one.
        gpus: On each of them; ``None``: the site's.
        time: Of the training; ``None``: the site's.
        array: Tasks of the ingest; 0: one job.
        ingest_options: Of ``dcam-dist ingest`` besides.
    """

    config: Config
    config_file: Path | None = None
    settings: tuple[str, ...] = ()
    scans: tuple[Path, ...] = ()
    nodes: int | None = None
    gpus: int | None = None
    time: str | None = None
    array: int = 0
    ingest_options: tuple[str, ...] = ()


def study(request: StudyRequest, site: Site, kinds: Sequence[JobName]) -> list[BatchJob]:
    """The jobs in the order in which each waits for the one before.

    Args:
        request: What the user asked for.
        site: Of the cluster.
        kinds: ``ingest``, ``train``, ``evaluate``, ``maps``, ``report`` or ``benchmarks``.

    Raises:
        UsageError: What a job needs is not set, does not fit the site, or was asked for in vain.
    """
    _refuse_what_no_job_heeds(request, kinds)
    jobs = [job for kind in kinds for job in _jobs_of(kind, request, site)]
    for job in jobs:
        _refuse_what_does_not_fit(job, site)
    return jobs


def refuse_missing(request: StudyRequest, kinds: Sequence[JobName]) -> None:
    """Look at what the first job will read: a typing error must not wait in the queue.

    Raises:
        UsageError: It is not there.
        DataError: The cohort is damaged or was never finished.
    """
    for scan in request.scans:
        if not scan.exists():
            raise UsageError(f"{scan}: no such file or folder; --scans names DICOM folders, image files or a cases.csv")
    if kinds[0] == "train":
        open_cohort(_set(request.config.data.cohort, "data.cohort=COHORT.zarr"))
    elif kinds[0] in {"evaluate", "maps", "report"} and not _set(request.config.output, "output=RUN").is_dir():
        raise UsageError(f"{request.config.output}: no such run; {kinds[0]} needs a finished training")


def _jobs_of(kind: JobName, request: StudyRequest, site: Site) -> list[BatchJob]:
    if kind == "ingest":
        return _ingest(request, site)
    if kind == "train":
        return [_train(request, site)]
    if kind == "benchmarks":
        return [_benchmarks(request, site)]
    return [_after_training(kind, request, site)]


def _ingest(request: StudyRequest, site: Site) -> list[BatchJob]:
    """One job, or an array and the job that seals what its tasks have written."""
    if not request.scans:
        raise UsageError("an ingest needs --scans: DICOM folders, image files or a cases.csv")
    cohort = _set(request.config.data.cohort, "data.cohort=COHORT.zarr")
    scans = [_absolute(scan) for scan in request.scans]
    arguments = ("ingest", *scans, "--out", _absolute(cohort), *request.ingest_options)
    arguments += (*_file(request), *_settings(request))
    parts = {"DCAM_PARTS": str(request.array)} if request.array else {}
    job = _from(site.ingest, BatchJob("ingest", "slurm_run.sh", arguments, _folder(request), "", 1))
    if not request.array:
        return [job]
    return [replace(job, tasks=request.array, environment=parts), replace(job, name="seal")]


def _train(request: StudyRequest, site: Site) -> BatchJob:
    config = request.config
    cohort = _set(config.data.cohort, "data.cohort=COHORT.zarr")
    run = _set(config.output, "output=RUN")
    gpus = site.train.gpus if request.gpus is None else request.gpus
    time = request.time or site.train.time
    # what the user has typed comes after what the site and this package would have
    arguments = (*_file(request), "training.rank_logs=true", *site.settings, *_settings(request))
    arguments += (f"data.cohort={_absolute(cohort)}", f"output={_absolute(run)}")
    job = BatchJob("train", f"{site.scheduler}_train.sh", arguments, _folder(request), time, 1)
    waits = {"SLURM_WAIT": str(config.training.timeout_s + LAST_RANK_S)}
    if site.scheduler != "slurm":  # only Slurm says in a job when it ends
        waits = {"DCAM_SECONDS": str(seconds_of(time) - site.leave_seconds)}
    job = replace(_from(site.train, job), nodes=request.nodes or 1, time=time, environment=waits)
    return replace(_with_gpus(gpus, job), ranks=gpus or site.train.ranks)


def _after_training(kind: JobName, request: StudyRequest, site: Site) -> BatchJob:
    run = _absolute(_set(request.config.output, "output=RUN"))
    job = _from(site.train, BatchJob(kind, "slurm_run.sh", (kind, run), _folder(request), "", 1))
    return _with_gpus(min(site.train.gpus, 1), replace(job, environment=_seldom(site)))


def _benchmarks(request: StudyRequest, site: Site) -> BatchJob:
    if not (CHECKOUT / "benchmarks").is_dir() or site.container:
        raise UsageError("benchmarks are run from a checkout, with its own environment and without a container")
    out = _absolute(_set(request.config.output, "output=FOLDER"))
    job = _from(site.train, BatchJob("benchmarks", "slurm_benchmarks.sh", (out,), _folder(request), "", 1))
    gpus = site.train.gpus if request.gpus is None else request.gpus
    where = {"DCAM_CHECKOUT": str(CHECKOUT), **_seldom(site)}
    return _with_gpus(gpus, replace(job, time=request.time or site.train.time, environment=where))


def _seldom(site: Site) -> dict[str, str]:
    return {"DCAM_REQUEUES": str(min(REPEATS, site.requeues))}


def _from(resources: Resources, job: BatchJob) -> BatchJob:
    return replace(
        job,
        partition=resources.partition,
        gpus=resources.gpus,
        cores=resources.cores,
        memory_gb=resources.memory_gb,
        time=resources.time,
        directives=resources.directives,
    )


def _with_gpus(gpus: int, job: BatchJob) -> BatchJob:
    """With another number of GPUs, and their share of the node's cores and memory."""
    if not job.gpus or gpus >= job.gpus:
        return replace(job, gpus=gpus)
    share = max(gpus, 1) / job.gpus
    memory_gb = math.ceil(job.memory_gb * share) if job.memory_gb else None
    return replace(job, gpus=gpus, cores=math.ceil(job.cores * share), memory_gb=memory_gb)


def _file(request: StudyRequest) -> tuple[str, ...]:
    return ("--config", _absolute(request.config_file)) if request.config_file else ()


def _settings(request: StudyRequest) -> tuple[str, ...]:
    """As they were given, but for those that are said with absolute paths."""
    return tuple(one for one in request.settings if not one.startswith(("data.cohort=", "output=")))


def _folder(request: StudyRequest) -> Path:
    run, cohort = request.config.output, request.config.data.cohort
    place = run or _set(cohort, "data.cohort=COHORT.zarr").with_suffix("")
    return Path(_absolute(place)) / "jobs"


def _refuse_what_no_job_heeds(request: StudyRequest, kinds: Collection[JobName]) -> None:
    """An option that changes nothing was meant to change something."""
    vain = {
        "--nodes": request.nodes is not None and "train" not in kinds,
        "--gpus": request.gpus is not None and not {"train", "benchmarks"} & set(kinds),
        "--time": request.time is not None and not {"train", "benchmarks"} & set(kinds),
        "--scans": bool(request.scans) and "ingest" not in kinds,
        "--array": bool(request.array) and "ingest" not in kinds,
        **dict.fromkeys(request.ingest_options, "ingest" not in kinds),
    }
    if given := [option for option, so in vain.items() if so]:
        raise UsageError(f"{given[0]} means nothing to a job of {', '.join(kinds)}; leave it out")


def _refuse_what_does_not_fit(job: BatchJob, site: Site) -> None:
    if site.scheduler != "slurm" and job.name != "train":
        raise UsageError(f"for {site.scheduler} there is a script of the training alone; run {job.name} by hand")
    if seconds_of(job.time) <= site.leave_seconds + (SHORTEST_S if site.scheduler != "slurm" else 0):
        raise UsageError(
            f"the time of {job.name}, {job.time}, is over before leave_seconds={site.leave_seconds} of the site file "
            "have passed; give it more with --time, or leave later"
        )
    if any(character.isspace() for character in str(job.folder)):
        raise UsageError(f"{job.folder}: schedulers take no path with spaces for a log; choose another output")


def _set(value: Path | None, how: str) -> Path:
    if value is None:
        raise UsageError(f"not set: {how}")
    return value


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - keeps links as named: nodes may see them elsewhere
