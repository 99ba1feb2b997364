"""Worker processes on this machine."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from dcam_dist.config.schema import IngestConfig
from dcam_dist.ingest.crews import parent_death
from dcam_dist.ingest.crews.crew import SCHEDULER_SETTINGS, WORKER_SETTINGS, Crew, undisturbed, watch
from dcam_dist.ingest.crews.folders import passing_folder
from dcam_dist.ingest.crews.interrupts import interrupts_held
from dcam_dist.ingest.crews.tls import temporary_security

REMEDY = "raise ingest.memory_limit_gb, with fewer ingest.workers"


def local_workers(config: IngestConfig) -> int:
    """Worker processes that the configuration asks for."""
    return config.workers or len(os.sched_getaffinity(0))


@contextmanager
def local_crew(config: IngestConfig, cases: int) -> Iterator[Crew]:
    """Single-thread processes on loopback behind TLS, without dashboard, with scratch in a private folder.

    Args:
        config: Workers and their memory.
        cases: No more workers than cases are started.
    """
    with (
        undisturbed(),
        passing_folder(Path(tempfile.gettempdir()), "dcam-ingest") as scratch,
        dask.config.set({**SCHEDULER_SETTINGS, **WORKER_SETTINGS, "temporary-directory": str(scratch)}),
        _cluster(min(local_workers(config), cases), config.memory_limit_gb, scratch) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Crew(client, watch(client, "this machine", REMEDY), REMEDY)


@contextmanager
def _cluster(workers: int, memory_gb: float, scratch: Path) -> Iterator[LocalCluster]:
    os.environ["PYTHONWARNINGS"] = "ignore"  # theirs may quote headers and paths
    resource_tracker.ensure_running()  # started by the first of them, it would let SIGINT through there
    with ExitStack() as stack:
        with interrupts_held():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # else port 8787, dashboard or not
                security=temporary_security(),
                memory_limit=int(memory_gb * 1e9),
                local_directory=str(scratch),
                preload=[parent_death.__name__],
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(cluster)
        yield cluster
