"""What a scheduler reads of a batch script: the lines that begin with ``#SBATCH``, ``#PBS`` or ``#BSUB``."""

from collections.abc import Iterable
from typing import Any

from dcam_dist.config.site import Site, seconds_of
from dcam_dist.hpc.job import BatchJob

NOT_RUN = "This has not been run on a real {} site: read it, mkdir -p {}, then hand it to {} yourself."


def header(job: BatchJob, site: Site) -> list[str]:
    """The lines for the site's scheduler; of PBS and LSF there is the training alone."""
    return {"slurm": _slurm, "pbs": _pbs, "lsf": _lsf}[site.scheduler](job, site)


def _slurm(job: BatchJob, site: Site) -> list[str]:
    options = {
        "job-name": f"dcam-{job.name}",
        "account": site.account,
        "partition": job.partition,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": job.cores,
        "mem": f"{job.memory_gb}G" if job.memory_gb else None,
        "time": job.time,
        "array": f"1-{job.tasks}" if job.tasks else None,
        "signal": f"B:USR1@{site.leave_seconds}",
        "open-mode": "append",
        "output": job.folder / f"{job.name}-{'%A_%a' if job.tasks else '%j'}.log",
    }
    gpus = [site.gpu_request.format(gpus=job.gpus)] if job.gpus else []
    return [f"#SBATCH {option}" for option in (*_given(options), *gpus, "--requeue", *job.directives)]


def _pbs(job: BatchJob, site: Site) -> list[str]:
    memory = f"{job.memory_gb}gb" if job.memory_gb else None
    chunk = {"ncpus": job.cores, "mpiprocs": 1, "ngpus": job.gpus or None, "mem": memory}
    select = ":".join([f"select={job.nodes}", *(f"{name}={value}" for name, value in chunk.items() if value)])
    options = [
        f"-N dcam-{job.name}",
        *([f"-A {site.account}"] if site.account else []),
        *([f"-q {job.partition}"] if job.partition else []),
        f"-l {select}",
        "-l place=scatter",
        f"-l walltime={_hours(job.time)}",
        "-r y",
        "-j oe",
        f"-o {job.folder}",
    ]
    return [_said("PBS", job, "qsub"), *(f"#PBS {option}" for option in (*options, *job.directives))]


def _lsf(job: BatchJob, site: Site) -> list[str]:
    hours, minutes, _ = _hours(job.time).split(":")
    options = {
        "-J": f"dcam-{job.name}",
        "-P": site.account,
        "-q": job.partition,
        "-n": job.nodes * job.cores,
        "-R": f'"span[ptile={job.cores}]"',
        "-gpu": f'"num={job.gpus}/host"' if job.gpus else None,
        "-M": f"{job.memory_gb}GB" if job.memory_gb else None,
        "-W": f"{hours}:{minutes}",
        "-Q": "75",
        "-o": job.folder / f"{job.name}-%J.log",
    }
    lines = [f"#BSUB {name} {value}" for name, value in options.items() if value is not None]
    return [_said("LSF", job, "bsub"), *lines, *(f"#BSUB {line}" for line in job.directives)]


def _given(options: dict[str, Any]) -> Iterable[str]:
    return (f"--{name}={value}" for name, value in options.items() if value is not None)


def _said(scheduler: str, job: BatchJob, command: str) -> str:
    return f"# {NOT_RUN.format(scheduler, job.folder, command)}"


def _hours(walltime: str) -> str:
    seconds = seconds_of(walltime)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
