"""Many cases over many processes: Dask on this machine, one task a case.

A case that cannot be used is a result, not an error, and a worker that dies takes only its own case with it.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import dask
import SimpleITK as sitk
from distributed import Client, KilledWorker, LocalCluster, as_completed

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, DcamError, EnvironmentFault, Reason
from dcam_dist.types import CaseRecord, QuarantineEntry

_LOG = logging.getLogger(__name__)

PRIVATE_UMASK = 0o077
SERIAL_CASES = 2
"""Up to so many cases, starting processes takes longer than it saves."""

ATTEMPTS_ALONE = 2
"""A case whose worker died is tried so often again, with no other case beside it."""

Job = TypeVar("Job")
Outcome = CaseRecord | QuarantineEntry
Task = Callable[[Job], CaseRecord]

_DASK = {
    "distributed.scheduler.allowed-failures": 0,  # who is to blame is found out by running the suspects alone
    "distributed.scheduler.worker-saturation": 1.0,  # few cases wait in the queue of a worker that dies
    "distributed.worker.memory.target": False,  # spilling writes pickles
    "distributed.worker.memory.spill": False,
    "distributed.scheduler.http.routes": [],  # dask opens its web servers in any case
    "distributed.worker.http.routes": [],
}


def run_cases(
    task: Task[Job], jobs: Sequence[Job], name: Callable[[Job], str], config: IngestConfig
) -> Iterator[Outcome]:
    """Run a task for each case and yield what became of it, as each is done.

    Processes are started where there are more than ``SERIAL_CASES`` cases and more than one worker.

    Args:
        task: Makes one case; a function that worker processes can import.
        jobs: Its arguments.
        name: The case id of a job.
        config: Workers and their memory.

    Raises:
        DcamError: What a task raises apart from ``CaseRejected``: nothing that the next case could survive.
    """
    workers = min(config.workers or len(os.sched_getaffinity(0)), len(jobs))
    if workers <= 1 or len(jobs) <= SERIAL_CASES:
        for job in jobs:
            yield run_case(task, job, name(job))
        return
    yield from _run_on_cluster(task, jobs, name, workers, config.memory_limit_gb)


def run_case(task: Task[Job], job: Job, case_id: str) -> Outcome:
    """Run one case in this process.

    Raises:
        EnvironmentFault: When the file system fails, which is no fault of the case.
    """
    try:
        with private_umask():
            return task(job)
    except CaseRejected as fault:
        return QuarantineEntry(case_id, str(fault.reason), fault.detail, tuple(map(str, fault.also)))
    except DcamError:
        raise
    except MemoryError:
        return QuarantineEntry(case_id, str(Reason.TOO_LARGE), "not enough memory for this case")
    except OSError as error:
        raise EnvironmentFault(f"case {case_id}: {error.strerror or type(error).__name__} while writing") from None
    except Exception as error:  # one odd file among thousands must not end the run; its kind is told
        _LOG.debug("case %s", case_id, exc_info=True)
        return QuarantineEntry(
            case_id, str(Reason.UNREADABLE), f"unexpected {type(error).__name__}; a defect to report"
        )


@contextmanager
def private_umask() -> Iterator[None]:
    """Files made within are readable by their owner alone."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def _run_on_cluster(
    task: Task[Job], jobs: Sequence[Job], name: Callable[[Job], str], workers: int, memory_gb: float
) -> Iterator[Outcome]:
    with _cluster(workers, memory_gb) as client:
        futures = {client.submit(_run_in_worker, task, job, name(job), pure=False): job for job in jobs}
        suspects: list[Job] = []
        for future in as_completed(futures):
            job = futures.pop(future)
            try:
                yield future.result()
            except KilledWorker:  # this case or one that waited behind it
                suspects.append(job)
            future.release()
        for job in suspects:
            yield _run_alone(client, task, job, name(job))


def _run_alone(client: Client, task: Task[Job], job: Job, case_id: str) -> Outcome:
    for _ in range(ATTEMPTS_ALONE):
        try:
            outcome: Outcome = client.submit(_run_in_worker, task, job, case_id, pure=False).result()
        except KilledWorker:
            continue
        return outcome
    detail = "the worker process died each time on this case (out of memory? raise ingest.memory_limit_gb)"
    return QuarantineEntry(case_id, str(Reason.WORKER_DIED), detail)


def _run_in_worker(task: Task[Job], job: Job, case_id: str) -> Outcome:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings hold paths
    return run_case(task, job, case_id)


@contextmanager
def _cluster(workers: int, memory_gb: float) -> Iterator[Client]:
    """Single-thread processes on loopback, without dashboard, with scratch in a private folder."""
    with (
        _undisturbed(),
        dask.config.set(_DASK),
        tempfile.TemporaryDirectory(prefix="dcam-ingest-") as scratch,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # else port 8787, dashboard or not
            memory_limit=int(memory_gb * 1e9),
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Undo what dask does to this process: it leaves its workers' malloc settings behind, and chats while closing.

    Those settings return freed memory at once, which costs a training started from here a third of its speed.
    """
    before, logger = dict(os.environ), logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        os.environ.clear()
        os.environ.update(before)
