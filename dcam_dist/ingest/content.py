"""What files hold, as a digest."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dcam_dist.errors import CaseRejected, Reason


def content_digest(files: Iterable[Path]) -> bytes:
    """SHA-256 of a set of files by content, whatever their names and order.

    Raises:
        CaseRejected: ``missing_file`` when one cannot be read.
    """
    try:
        digests = sorted(_file_digest(path) for path in files)
    except OSError:
        raise CaseRejected(Reason.MISSING_FILE, "a file of the case cannot be opened") from None
    return hashlib.sha256(b"".join(digests)).digest()


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
