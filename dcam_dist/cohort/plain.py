"""Open plain files only: a pipe or a device in the place of a file would make its reader wait for ever."""

import errno
import io
import os
import stat
from pathlib import Path

NOT_PLAIN = "not a plain file"


def open_plain(path: Path) -> io.BufferedReader:
    """Open a file for reading, itself and not what a link in its place leads to.

    Raises:
        OSError: When it cannot be opened, or is a link, a folder, a pipe, a socket or a device.
    """
    _refuse_odd(path.lstat())  # before it is opened: opening a device may already set it in motion
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_odd(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path) -> bytes:
    """The content of a plain file.

    Raises:
        OSError: As ``open_plain``.
    """
    with open_plain(path) as stream:
        return stream.read()


def _refuse_odd(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, NOT_PLAIN)
