"""Folders that nobody else may read, and that a killed process does not leave behind for ever."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcam_dist.errors import EnvironmentFault, UsageError


def private_folder(folder: Path) -> None:
    """Make a folder for its owner alone, or see that it is one.

    Raises:
        UsageError: When it is there and others can read it.
        EnvironmentFault: When it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be made ({error.strerror})") from None
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise UsageError(f"{folder}: others may read it, and a key goes there; make it your own with chmod 700")


@contextmanager
def passing_folder(parent: Path, name: str) -> Iterator[Path]:
    """A private folder that is removed in the end; those of our processes killed on this host are removed first.

    Args:
        parent: Where it is made.
        name: How it begins; host, process id and a random part follow.
    """
    place = f"{name}.{socket.gethostname()}."
    for left in parent.glob(f"{place}*"):
        if left.lstat().st_uid == os.getuid() and not _alive(left.name.removeprefix(place).split(".")[0]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{place}{os.getpid()}.", dir=parent) as folder:
        yield Path(folder)


def _alive(pid: str) -> bool:
    return pid.isdigit() and Path("/proc", pid).exists()
