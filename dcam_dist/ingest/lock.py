"""One writer at a time for a cohort."""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcam_dist.errors import EnvironmentFault

_LOG = logging.getLogger(__name__)


@contextmanager
def only_writer(cohort: Path) -> Iterator[None]:
    """Hold the cohort's lock, a file beside it; it is free again when its process ends, however that ends.

    Raises:
        EnvironmentFault: When another process holds it; says which.
    """
    path = cohort.absolute().with_name(f".{cohort.name}.lock")
    descriptor = _locked(path, cohort)
    try:
        about = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
        os.pwrite(descriptor, json.dumps(about).ljust(200).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, cohort: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(path, descriptor):  # else its last holder has removed it meanwhile
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise EnvironmentFault(
                f"{cohort}: another ingest is writing it{holder}; wait for it, or choose another --out"
            ) from None
        except OSError as error:  # some network file systems know no locks
            _LOG.warning("%s: cannot be locked (%s); do not ingest into it twice at once", cohort, error.strerror)
            return descriptor


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    try:
        about = json.loads(os.pread(descriptor, 1000, 0))
        return f" (host {about['host']}, process {about['pid']}{', job ' + about['job'] if about['job'] else ''})"
    except (ValueError, KeyError, TypeError):
        return ""
