"""Common ground: every worker, on whatever host, must see the cohort and the sources by the paths that we use."""

import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.cohort.layout import INCOMING


@dataclass(frozen=True)
class Ground:
    """What a worker must find.

    Attributes:
        token: A file in the cohort's folder for unfinished cases, so that a folder of the same name is not enough.
        content: What it holds.
        sources: Paths of the scans.
    """

    token: Path
    content: str
    sources: tuple[Path, ...]


@contextmanager
def marked_ground(cohort: Path, sources: Sequence[Path]) -> Iterator[Ground]:
    """Leave a token in the cohort for as long as workers look for it.

    Args:
        cohort: The store, absolute.
        sources: Files and folders that hold the scans, absolute.
    """
    token = cohort / INCOMING / f"token.{secrets.token_hex(8)}"
    ground = Ground(token, secrets.token_hex(16), tuple(sources))
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text(ground.content, encoding="utf-8")
    try:
        yield ground
    finally:
        token.unlink(missing_ok=True)


def fault_of_ground(ground: Ground) -> str | None:
    """Runs on a worker: one line that names its host when it does not see what it must, else ``None``."""
    host, cohort = socket.gethostname(), ground.token.parent.parent
    try:
        seen = ground.token.read_text(encoding="utf-8") == ground.content
    except (OSError, UnicodeDecodeError):
        seen = False
    if not seen:
        return f"{cohort}: not the same folder on {host}; the cohort must lie on a file system that all workers share"
    if not os.access(ground.token.parent, os.W_OK | os.X_OK):
        return f"{cohort}: cannot be written from {host}"
    missing = [path for path in ground.sources if not path.exists()]
    return f"{missing[0]}: not there on {host}; all workers must see the scans by the same paths" if missing else None
