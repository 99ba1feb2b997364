"""Small files of a run that others read while they are written: whole at any time, and private."""

import os
from contextlib import suppress
from pathlib import Path


def replace_privately(path: Path, content: str) -> None:
    """Put a file in the place of an older one, for its owner alone (0600). A reader sees the one or the other.

    It is not brought down to the disk: after a power cut it may be gone.

    Raises:
        OSError: When it cannot be written; the older one is intact.
    """
    side = path.with_name(f".{path.name}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(side, flags, 0o600), "w", encoding="utf-8") as stream:
            stream.write(content)
        side.replace(path)
    except OSError:
        with suppress(OSError):
            side.unlink(missing_ok=True)
        raise
