"""Locked files that say who holds them, free again when their processes end, however those end."""

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcam_dist.errors import EnvironmentFault

_LOG = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.05


class _NoLocksError(Exception):
    """Some network file systems know no locks."""

    def __init__(self, descriptor: int, why: str) -> None:
        super().__init__(why)
        self.descriptor, self.why = descriptor, why


@contextmanager
def only_holder(
    path: Path, *, held: Callable[[str], str], unlockable: Callable[[str], str] | None, patience_s: float = 0.0
) -> Iterator[None]:
    """Hold a lock file, which is there while it is held.

    Args:
        path: The file; it is made, and removed at the end.
        held: The line for when another process holds it, from a text such as `` (host a, process 7, job 12)``.
        unlockable: The warning for a file system that knows no locks, from its reason; ``None`` to say nothing.
        patience_s: So long another holder is waited for.

    Raises:
        EnvironmentFault: When another process holds it, or the file cannot be written.
    """
    deadline = time.monotonic() + patience_s
    try:
        while (descriptor := _locked(path, fcntl.LOCK_EX)) is None:
            if time.monotonic() >= deadline:
                raise EnvironmentFault(held(_holder(path)))
            time.sleep(LOOK_AGAIN_S)
    except _NoLocksError as error:
        if unlockable is not None:
            _LOG.warning("%s", unlockable(error.why))
        descriptor = error.descriptor
    try:
        _say_who(descriptor, shared=False)
        yield
    finally:
        _remove(path, descriptor)
        os.close(descriptor)


@contextmanager
def one_holder_of_many(path: Path, *, held: Callable[[str], str], unlockable: Callable[[str], str]) -> Iterator[bool]:
    """Hold a lock file together with others who hold it by this function; ``only_holder`` is refused meanwhile.

    Let one at a time come or go: who leaves looks whether it is the last, which removes the file, and in that moment a
    newcomer would be refused.

    Args:
        path: The file.
        held: As in ``only_holder``.
        unlockable: The line for a file system that knows no locks, from its reason.

    Yields:
        Whether nobody else held it.

    Raises:
        EnvironmentFault: When ``only_holder`` holds it, or the file cannot be written or locked.
    """
    try:
        descriptor, alone = _shared(path)
    except _NoLocksError as error:
        os.close(error.descriptor)
        raise EnvironmentFault(unlockable(error.why)) from None
    if descriptor is None:
        raise EnvironmentFault(held(_holder(path)))
    try:
        _say_who(descriptor, shared=True)
        yield alone
    finally:
        with suppress(OSError):  # others hold it still
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path, descriptor)
        os.close(descriptor)


def _shared(path: Path) -> tuple[int | None, bool]:
    descriptor = _locked(path, fcntl.LOCK_EX)
    if descriptor is None:
        return _locked(path, fcntl.LOCK_SH), False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # the change is two steps, and another came between them
        os.close(descriptor)
        return None, False
    return descriptor, True


def _locked(path: Path, kind: int) -> int | None:
    """The file, opened and locked, or ``None`` where others hold it.

    Raises:
        EnvironmentFault: When it cannot be written.
        _NoLocksError: When it cannot be locked; holds the opened file.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            why = f"{path.parent}: cannot be written ({error.strerror}); choose another place"
            raise EnvironmentFault(why) from None
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            raise _NoLocksError(descriptor, error.strerror or type(error).__name__) from None
        if _still_there(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last holder has removed it meanwhile


def _remove(path: Path, descriptor: int) -> None:
    if _still_there(path, descriptor):  # else its folder was moved, and another's may be in its place
        path.unlink(missing_ok=True)


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _say_who(descriptor: int, *, shared: bool) -> None:
    job = os.environ.get("SLURM_JOB_ID")
    about = {"host": socket.gethostname(), "pid": os.getpid(), "job": job, "shared": shared}
    with suppress(OSError):  # a courtesy to whoever is refused; a full disk is told where something is lost by it
        os.pwrite(descriptor, json.dumps(about).ljust(200).encode(), 0)


def _holder(path: Path) -> str:
    try:
        about = json.loads(path.read_bytes()[:1000])
        job = f", job {about['job']}" if about["job"] else ""
        many = "of several; the last to begin: " if about.get("shared") else ""
        return f" ({many}host {about['host']}, process {about['pid']}{job})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
