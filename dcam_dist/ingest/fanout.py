"""Many cases over many processes: one Dask task a case.

A case that cannot be used is a result, not an error, and a worker that dies takes only its own case with it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from distributed import Future, KilledWorker

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import DcamError, EnvironmentFault, Reason
from dcam_dist.ingest.crews.crew import Crew, CrewOf
from dcam_dist.ingest.crews.local import local_crew, local_workers
from dcam_dist.ingest.one_case import Job, Outcome, Task, run_case, run_case_in_worker
from dcam_dist.types import QuarantineEntry

SERIAL_CASES = 2
"""Up to so many cases, starting processes takes longer than it saves."""

ROUNDS_TOGETHER = 2
"""Cases whose worker died are tried again together, elsewhere; those that lose it again are tried once more alone."""

TICK_S = 2.0


def run_cases(
    task: Task[Job],
    jobs: Sequence[Job],
    name: Callable[[Job], str],
    config: IngestConfig,
    crew_of: CrewOf | None = None,
) -> Iterator[Outcome]:
    """Run a task for each case and yield what became of it, as each is done.

    Without a crew, processes are started here where there are more than ``SERIAL_CASES`` cases and more than one
    worker.

    Args:
        task: Makes one case; a function that worker processes can import.
        jobs: Its arguments.
        name: The case id of a job.
        config: Workers of this machine and their memory.
        crew_of: Gathers the workers, where they are not to be of this machine.

    Raises:
        DcamError: What a task raises apart from ``CaseRejected``: nothing that the next case could survive.
        EnvironmentFault: When the workers or their scheduler are gone for good.
    """
    if crew_of is None and (local_workers(config) <= 1 or len(jobs) <= SERIAL_CASES):
        for job in jobs:
            yield run_case(task, job, name(job))
        return
    if jobs:
        with (crew_of or partial(local_crew, config))(len(jobs)) as crew:
            yield from _run_with(crew, task, jobs, name)


def _run_with(crew: Crew, task: Task[Job], jobs: Sequence[Job], name: Callable[[Job], str]) -> Iterator[Outcome]:
    for _ in range(ROUNDS_TOGETHER):
        died: list[Job] = []
        for job, outcome in _run_round(crew, task, jobs, name):
            if outcome is None:
                died.append(job)
            else:
                yield outcome
        jobs = died
    for job in jobs:
        for _, outcome in _run_round(crew, task, [job], name):
            yield outcome or _died(name(job), crew.memory_remedy)


def _run_round(
    crew: Crew, task: Task[Job], jobs: Sequence[Job], name: Callable[[Job], str]
) -> Iterator[tuple[Job, Outcome | None]]:
    """Each job with its outcome, or ``None`` when its worker died."""
    done: SimpleQueue[Future] = SimpleQueue()
    waiting: dict[str, tuple[Job, Future]] = {}
    for job in jobs:
        future = crew.client.submit(run_case_in_worker, task, job, name(job), crew.ground, pure=False)
        waiting[future.key] = job, future
        future.add_done_callback(done.put)
    while waiting:
        future = _next(done, crew)
        job, _ = waiting.pop(future.key)
        yield job, _outcome(future)


def _next(done: SimpleQueue[Future], crew: Crew) -> Future:
    while True:
        try:
            return done.get(timeout=TICK_S)
        except Empty:
            crew.tend()


def _outcome(future: Future) -> Outcome | None:
    if future.cancelled():
        raise EnvironmentFault("the connection to the Dask scheduler is lost; run again to go on")
    try:
        result: Outcome | DcamError = future.result()
    except KilledWorker:
        return None
    except Exception as error:  # the task itself raises nothing: it did not come across
        raise EnvironmentFault(
            f"a worker could not run a case ({type(error).__name__}); all workers need this same environment"
        ) from None
    if isinstance(result, DcamError):
        raise result
    return result


def _died(case_id: str, remedy: str) -> QuarantineEntry:
    detail = f"the worker process died each time on this case (out of memory? {remedy})"
    return QuarantineEntry(case_id, str(Reason.WORKER_DIED), detail)
