"""Watch over the Slurm jobs of a crew: replace those that ended, and give up when that leads nowhere."""

import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from distributed import Client

from dcam_dist.errors import EnvironmentFault
from dcam_dist.ingest.crews.crew import PATIENCE_S, workers_of

REPLACEMENTS = 20
"""Jobs started for each that was asked for; preemption may take some of them, a broken node all."""

QUEUE_LOOK_S = 30.0
"""Slurm's controller is not asked more often."""


def tend_jobs(
    cluster: Any, client: Client, jobs: int, logs: Path, clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """A ``Crew.tend`` that has ended jobs submitted again, and waits while jobs are queued, however long.

    Args:
        cluster: The ``SLURMCluster``.
        client: The connection to its scheduler.
        jobs: Jobs wanted.
        logs: Where the jobs' logs are, for the error.
        clock: Seconds.
    """
    submitted: set[str] = set()
    looked = gone_since = clock()

    def tend() -> None:
        nonlocal looked, gone_since
        cluster.scale(jobs=jobs)  # a job whose worker is lost is asked for again
        submitted.update(job.job_id for job in list(cluster.workers.values()) if job.job_id)
        if len(submitted) > REPLACEMENTS * jobs:
            raise EnvironmentFault(f"{len(submitted)} Slurm jobs ended before all cases were done; see {logs}")
        if workers_of(client, "Slurm"):
            gone_since = clock()
        elif clock() - looked > QUEUE_LOOK_S:
            looked = clock()
            if in_queue(submitted):
                gone_since = clock()
            elif clock() - gone_since > PATIENCE_S:
                raise EnvironmentFault(f"the Slurm jobs ended and left no worker; see the logs in {logs}")

    return tend


def in_queue(job_ids: Iterable[str]) -> bool:
    """Whether one of the jobs waits or runs; ``True`` when Slurm does not answer."""
    asked = subprocess.run(
        ["squeue", "--noheader", "--format=%i", "--jobs", ",".join(sorted(job_ids)) or "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:  # also when it has forgotten the only job that is asked for
        return "Invalid job id" not in asked.stderr
    return bool(asked.stdout.split())
