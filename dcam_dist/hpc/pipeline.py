"""From a configuration and a site to the jobs of a study: ingest → train → evaluate → maps."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcam_dist.cohort import open_cohort
from dcam_dist.config import Config
from dcam_dist.config.site import Resources, Site, seconds_of
from dcam_dist.errors import UsageError
from dcam_dist.hpc.job import BatchJob, JobName
from dcam_dist.hpc.script import CHECKOUT

SHARED_TIMEOUT_S = 120
"""Beyond ``training.timeout_s``, within which ranks end by themselves, srun waits so long for the last of them."""


@dataclass(frozen=True)
class Wanted:
    """What the user asked for.

    Attributes:
        config: The resolved configuration, whose ``data.cohort`` and ``output`` are set.
        config_file: Where it comes from; ``None``: the defaults.
        settings: Given besides, as ``section.key=value``.
        scans: What to ingest.
        nodes: Of the training; ``None``: one.
        gpus: On each of them; ``None``: the site's.
        time: Of the training; ``None``: the site's.
        array: Tasks of the ingest; 0: one job.
    """

    config: Config
    config_file: Path | None = None
    settings: tuple[str, ...] = ()
    scans: tuple[Path, ...] = ()
    nodes: int | None = None
    gpus: int | None = None
    time: str | None = None
    array: int = 0


def study(wanted: Wanted, site: Site, kinds: Sequence[JobName]) -> list[BatchJob]:
    """The jobs in the order in which each waits for the one before.

    Args:
        wanted: What the user asked for.
        site: Of the cluster.
        kinds: ``ingest``, ``train``, ``evaluate``, ``maps`` or ``benchmarks``.

    Raises:
        UsageError: What a job needs is not set, or does not fit the site.
    """
    jobs = [job for kind in kinds for job in _jobs_of(kind, wanted, site)]
    for job in jobs:
        _refuse_what_does_not_fit(job, site)
    return jobs


def refuse_missing(wanted: Wanted, kinds: Sequence[JobName]) -> None:
    """Look at what the first job will read: a typing error must not wait in the queue.

    Raises:
        UsageError: It is not there.
        DataError: The cohort is damaged or was never finished.
    """
    for scan in wanted.scans:
        if not scan.exists():
            raise UsageError(f"{scan}: no such file or folder; --scans names DICOM folders, image files or a cases.csv")
    if kinds[0] == "train":
        open_cohort(_set(wanted.config.data.cohort, "data.cohort=COHORT.zarr"))
    elif kinds[0] in {"evaluate", "maps"} and not _set(wanted.config.output, "output=RUN").is_dir():
        raise UsageError(f"{wanted.config.output}: no such run; {kinds[0]} needs a finished training")


def _jobs_of(kind: JobName, wanted: Wanted, site: Site) -> list[BatchJob]:
    if kind == "ingest":
        return _ingest(wanted, site)
    if kind == "train":
        return [_train(wanted, site)]
    if kind == "benchmarks":
        return [_benchmarks(wanted, site)]
    return [_after_training(kind, wanted, site)]


def _ingest(wanted: Wanted, site: Site) -> list[BatchJob]:
    """One job, or an array and the job that seals what its tasks have written."""
    if not wanted.scans:
        raise UsageError("an ingest needs --scans: DICOM folders, image files or a cases.csv")
    cohort = _set(wanted.config.data.cohort, "data.cohort=COHORT.zarr")
    scans = [_absolute(scan) for scan in wanted.scans]
    arguments = ("dcam_dist", "ingest", *scans, "--out", _absolute(cohort), *_configuration(wanted))
    job = _from(site.ingest, BatchJob("ingest", "slurm_run.sh", arguments, _folder(wanted), "", 1, tasks=wanted.array))
    return [job, replace(job, name="seal", tasks=0)] if wanted.array else [job]


def _train(wanted: Wanted, site: Site) -> BatchJob:
    config = wanted.config
    cohort = _set(config.data.cohort, "data.cohort=COHORT.zarr")
    run = _set(config.output, "output=RUN")
    gpus = site.train.gpus if wanted.gpus is None else wanted.gpus
    time = wanted.time or site.train.time
    arguments = (*_configuration(wanted), "training.rank_logs=true", *site.settings)
    arguments += (f"data.cohort={_absolute(cohort)}", f"output={_absolute(run)}")
    if site.scheduler != "slurm":  # only Slurm says in a job when it ends
        arguments += (f"training.max_minutes={(seconds_of(time) - site.leave_seconds) / 60:g}",)
    job = BatchJob("train", f"{site.scheduler}_train.sh", arguments, _folder(wanted), time, 1)
    ranks = site.train.ranks or gpus or 1
    waits = {"SLURM_WAIT": str(config.training.timeout_s + SHARED_TIMEOUT_S)}
    job = replace(_from(site.train, job), nodes=wanted.nodes or 1, ranks=ranks, time=time, environment=waits)
    return _with_gpus(gpus, job)


def _after_training(kind: JobName, wanted: Wanted, site: Site) -> BatchJob:
    run = _absolute(_set(wanted.config.output, "output=RUN"))
    job = BatchJob(kind, "slurm_run.sh", ("dcam_dist", kind, run), _folder(wanted), "", 1)
    return _with_gpus(min(site.train.gpus, 1), _from(site.train, job))


def _benchmarks(wanted: Wanted, site: Site) -> BatchJob:
    out = _absolute(_set(wanted.config.output, "output=FOLDER"))
    job = BatchJob("benchmarks", "slurm_run.sh", ("benchmarks", "run", "--out", out), _folder(wanted), "", 1)
    gpus = site.train.gpus if wanted.gpus is None else wanted.gpus
    path = {"PYTHONPATH": str(CHECKOUT)}  # the suite is not installed
    job = replace(_from(site.train, job), time=wanted.time or site.train.time, environment=path)
    return _with_gpus(gpus, job)


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


def _configuration(wanted: Wanted) -> tuple[str, ...]:
    """The file and the settings as they were given, but for those that are said with absolute paths."""
    file = ("--config", _absolute(wanted.config_file)) if wanted.config_file else ()
    return (*file, *(one for one in wanted.settings if not one.startswith(("data.cohort=", "output="))))


def _folder(wanted: Wanted) -> Path:
    run, cohort = wanted.config.output, wanted.config.data.cohort
    place = run or _set(cohort, "data.cohort=COHORT.zarr").with_suffix("")
    return Path(_absolute(place)) / "jobs"


def _refuse_what_does_not_fit(job: BatchJob, site: Site) -> None:
    if site.scheduler != "slurm" and job.name != "train":
        raise UsageError(f"for {site.scheduler} there is a script of the training alone; run {job.name} by hand")
    if seconds_of(job.time) <= site.leave_seconds:
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
