"""One case in one process: what it may end in, and the care that every process takes."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import SimpleITK as sitk

from dcam_dist.errors import CaseRejected, DcamError, EnvironmentFault, Reason
from dcam_dist.ingest import dicom_headers, images
from dcam_dist.ingest.crews.ground import Ground, fault_of_ground
from dcam_dist.types import CaseRecord, QuarantineEntry

_LOG = logging.getLogger(__name__)

PRIVATE_UMASK = 0o077

Job = TypeVar("Job")
Result = TypeVar("Result")
Outcome = CaseRecord | QuarantineEntry
Task = Callable[[Job], CaseRecord]


def run_case(task: Callable[[Job], Result], job: Job, case_id: str) -> Result | QuarantineEntry:
    """Run one case in this process.

    Raises:
        EnvironmentFault: When the file system fails, which is no fault of the case.
    """
    try:
        with private_umask():
            return task(job)
    except CaseRejected as fault:
        return QuarantineEntry(case_id, str(fault.reason), fault.detail, tuple(map(str, fault.also)), fault.picture)
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


def run_case_in_worker(task: Task[Job], job: Job, case_id: str, ground: Ground | None) -> Outcome | DcamError:
    """Run one case in a worker process, under whatever scheduler.

    Returns:
        The outcome, or the error that stops the run: were it raised, Dask would log it with the paths of the job.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if ground is not None and (fault := fault_of_ground(ground)):
        return EnvironmentFault(fault)
    with hushed():
        try:
            return run_case(task, job, case_id)
        except DcamError as stop:
            return stop


@contextmanager
def hushed() -> Iterator[None]:
    """Silence the libraries that read scans: their warnings hold paths and headers, and logs are kept."""
    with images.quiet(), dicom_headers.quiet():
        yield


@contextmanager
def private_umask() -> Iterator[None]:
    """Files made within are readable by their owner alone."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)
