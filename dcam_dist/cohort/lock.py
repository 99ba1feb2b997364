"""One holder at a time: a locked file that says who holds it, free again when that process ends, however it ends."""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcam_dist.errors import EnvironmentFault

_LOG = logging.getLogger(__name__)


@contextmanager
def only_holder(path: Path, *, held: Callable[[str], str], unlockable: Callable[[str], str]) -> Iterator[None]:
    """Hold a lock file, which is there while it is held.

    Args:
        path: The file; it is made, and removed at the end.
        held: The line for when another process holds it, from a text such as `` (host a, process 7, job 12)``.
        unlockable: The warning for a file system that knows no locks, from its reason.

    Raises:
        EnvironmentFault: When another process holds it, or the file cannot be written.
    """
    try:
        descriptor = _locked(path, held, unlockable)
    except OSError as error:
        raise EnvironmentFault(f"{path.parent}: cannot be written ({error.strerror}); choose another place") from None
    try:
        _say_who(descriptor)
        yield
    finally:
        if _still_there(path, descriptor):  # else its folder was moved, and another's may be in its place
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, held: Callable[[str], str], unlockable: Callable[[str], str]) -> int:
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
            raise EnvironmentFault(held(holder)) from None
        except OSError as error:  # some network file systems know no locks
            _LOG.warning("%s", unlockable(error.strerror or type(error).__name__))
            return descriptor


def _say_who(descriptor: int) -> None:
    about = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
    with suppress(OSError):  # a courtesy to whoever is refused; a full disk is told where something is lost by it
        os.pwrite(descriptor, json.dumps(about).ljust(200).encode(), 0)


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _holder(descriptor: int) -> str:
    try:
        about = json.loads(os.pread(descriptor, 1000, 0))
        return f" (host {about['host']}, process {about['pid']}{', job ' + about['job'] if about['job'] else ''})"
    except (ValueError, KeyError, TypeError):
        return ""
