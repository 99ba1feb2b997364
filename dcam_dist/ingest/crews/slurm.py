"""Workers in Slurm jobs, through dask-jobqueue; the scheduler runs in this process."""

import logging
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.utils import get_ip_interface

from dcam_dist.config.site import Site, WorkerJobs
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.ingest.crews import parent_death
from dcam_dist.ingest.crews.crew import SCHEDULER_SETTINGS, WORKER_SETTINGS, Crew, undisturbed
from dcam_dist.ingest.crews.folders import passing_folder, private_folder
from dcam_dist.ingest.crews.ground import marked_ground
from dcam_dist.ingest.crews.slurm_jobs import tend_jobs
from dcam_dist.ingest.crews.tls import file_security

MISSING = "--slurm needs dask-jobqueue: pip install 'dcam-dist[slurm]'"


def require_slurm() -> None:
    """Refuse early.

    Raises:
        EnvironmentFault: When dask-jobqueue or Slurm's commands are missing.
    """
    try:
        import dask_jobqueue  # noqa: F401
    except ImportError:
        raise EnvironmentFault(MISSING) from None
    if shutil.which("sbatch") is None:
        raise EnvironmentFault("--slurm needs Slurm's sbatch, which is not on this machine; run it on a login node")


@contextmanager
def slurm_crew(site: Site, cohort: Path, sources: Sequence[Path], cases: int) -> Iterator[Crew]:
    """Ask Slurm for jobs of one worker each, and cancel them in the end.

    Args:
        site: How jobs are asked for, in its section ``workers``.
        cohort: The store, absolute, on a shared file system.
        sources: What the workers must be able to read, absolute.
        cases: No more jobs than cases are asked for.

    Raises:
        EnvironmentFault: When the interface is not there, or Slurm refuses the job; nothing is made then.
    """
    workers = workers_of_site(site)
    _refuse_bad_interface(workers.interface)
    _refuse_bad_job(_job_script(site))
    private_folder(workers.logs)
    jobs = min(workers.jobs, cases)
    with (
        undisturbed(),
        passing_folder(workers.logs, "keys") as keys,
        dask.config.set({**SCHEDULER_SETTINGS, **WORKER_SETTINGS, "temporary-directory": str(keys)}),
        marked_ground(cohort, sources) as ground,
        _cluster(site, keys) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.scale(jobs=jobs)
        yield Crew(
            client, tend_jobs(cluster, client, jobs, workers.logs), "raise workers.memory_gb in the site file", ground
        )


def workers_of_site(site: Site) -> WorkerJobs:
    """The section of the workers.

    Raises:
        UsageError: When the site file has none.
    """
    if site.workers is None:
        raise UsageError("workers: the site file has no such section, which says how --slurm asks for its workers")
    return site.workers


def job_options(site: Site) -> dict[str, Any]:
    """Arguments of ``SLURMCluster``."""
    workers = workers_of_site(site)
    return {
        "queue": workers.partition,
        "account": site.account,
        "walltime": workers.time,
        "cores": 1,
        "processes": 1,
        "memory": f"{workers.memory_gb}GB",
        "interface": workers.interface,
        "python": site.interpreter,
        "local_directory": workers.scratch,
        "log_directory": str(workers.logs),
        "job_name": "dcam-ingest",
        "job_extra_directives": list(workers.directives),
        "job_script_prologue": ["umask 077", "export PYTHONWARNINGS=ignore", *_worker_environment(), *site.prologue],
        "worker_extra_args": [
            "--dashboard-address",
            "127.0.0.1:0",
            "--no-dashboard",
            "--preload",
            parent_death.__name__,
        ],
        "scheduler_options": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }


@contextmanager
def _cluster(site: Site, keys: Path) -> Iterator[Any]:
    from dask_jobqueue.slurm import SLURMCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on its own deprecated settings
        try:
            cluster = SLURMCluster(security=file_security(keys), silence_logs=logging.CRITICAL, **job_options(site))
        except (ValueError, OSError, RuntimeError) as error:
            raise EnvironmentFault(
                f"no Dask scheduler on interface {workers_of_site(site).interface}: {error}"
            ) from None
    with cluster:
        yield cluster


def _worker_environment() -> list[str]:
    """Dask reads settings from such variables in a process that it does not start itself."""
    names = {key: key.upper().replace(".", "__").replace("-", "_") for key in WORKER_SETTINGS}
    return [f"export DASK_{names[key]}='{value}'" for key, value in WORKER_SETTINGS.items()]


def _refuse_bad_interface(name: str) -> None:
    try:
        get_ip_interface(name)
    except ValueError as error:
        raise EnvironmentFault(f"no Dask scheduler on interface {name}: {error}") from None


def _job_script(site: Site) -> str:
    """A job as those of the crew, before there is a scheduler, a key or a folder of logs."""
    from dask_jobqueue.slurm import SLURMJob

    later = ("scheduler_options", "log_directory")
    options = {name: value for name, value in job_options(site).items() if name not in later}
    return str(SLURMJob("tls://scheduler:8786", name="worker", **options).job_script())


def _refuse_bad_job(script: str) -> None:
    """Ask Slurm whether it would take the job: dask-jobqueue would hide its answer."""
    tried = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False, timeout=60
    )
    if tried.returncode:
        raise EnvironmentFault(f"Slurm refuses the job of the site file: {' '.join(tried.stderr.split())}")
