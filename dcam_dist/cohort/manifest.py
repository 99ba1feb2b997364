"""Manifests: what each file of a folder is, and the commit marker, written last, that says it was written whole.

The commit marker holds the SHA-256 of the manifest. That one digest stands for every byte of the folder: its seal.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dcam_dist.cohort import layout
from dcam_dist.cohort.plain import NOT_PLAIN, open_plain, read_plain
from dcam_dist.errors import DataError

MANIFEST_VERSION = 1
INDEX_ENTRY_BYTES = 16
CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class FileEntry:
    """One file as it was written.

    Attributes:
        bytes: Its size.
        sha256: Of its content, hex.
        chunks: Chunks that a shard holds; ``None`` for other files.
        tail_sha256: Of the end of a shard: the last chunk's crc32c, the index of all chunks and the index's crc32c.
            Tells in one short read that this is the shard that was written, with all its chunks.
    """

    bytes: int
    sha256: str
    chunks: int | None = None
    tail_sha256: str | None = None


@dataclass(frozen=True)
class Manifest:
    """The files of a folder by their path in it, and in a cohort's root the seal of each case by its id."""

    files: Mapping[str, FileEntry]
    cases: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The manifest as its file holds it."""
        files = {
            name: {key: value for key, value in asdict(self.files[name]).items() if value is not None}
            for name in sorted(self.files)
        }
        tree: dict[str, Any] = {"version": MANIFEST_VERSION, "files": files}
        return layout.to_json(tree | {"cases": dict(sorted(self.cases.items()))} if self.cases else tree)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """The inverse of ``to_bytes``.

        Raises:
            DataError: When the content is no manifest of this version.
        """
        try:
            tree = json.loads(content)
            if tree["version"] != MANIFEST_VERSION:
                raise DataError(f"manifest version {tree['version']}; this release reads {MANIFEST_VERSION}")
            files = {str(name): FileEntry(**entry) for name, entry in tree["files"].items()}
            return cls(files, {str(case): str(seal) for case, seal in tree.get("cases", {}).items()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError("not a manifest") from None


def describe(folder: Path, names: Iterable[str], chunks: Mapping[str, int] | None = None) -> dict[str, FileEntry]:
    """Bring files down to the disk and say what they are, as the disk's cache gives them back.

    Args:
        folder: Where the names begin.
        names: The files.
        chunks: How many chunks each shard must hold.

    Raises:
        RuntimeError: When a shard lacks chunks.
    """
    entries = {}
    for name in names:
        expected = (chunks or {}).get(name)
        with (folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
            tail = None if expected is None else shard_tail(stream.fileno(), size, expected)
        if tail is not None and (held := chunks_of(tail)) != expected:
            raise RuntimeError(f"a shard was written with {held} of {expected} chunks")
        entries[name] = FileEntry(size, digest, expected, None if tail is None else hashlib.sha256(tail).hexdigest())
    return entries


def shard_tail(descriptor: int, size: int, chunks: int) -> bytes:
    """The last chunk's checksum, the index and its checksum: the end of an open shard."""
    wanted = CHECKSUM_BYTES + chunks * INDEX_ENTRY_BYTES + CHECKSUM_BYTES
    return os.pread(descriptor, wanted, max(0, size - wanted))


def chunks_of(tail: bytes) -> int:
    """How many chunks the index at a shard's end lists; a missing one is all ones there, and Zarr reads it as zeros."""
    index = tail[CHECKSUM_BYTES:-CHECKSUM_BYTES]
    entries = (index[start : start + INDEX_ENTRY_BYTES] for start in range(0, len(index), INDEX_ENTRY_BYTES))
    return sum(entry != b"\xff" * INDEX_ENTRY_BYTES for entry in entries)


def seal_of(content: bytes) -> str:
    """The seal that a manifest's content gives."""
    return hashlib.sha256(content).hexdigest()


def commit_content(seal: str) -> bytes:
    """What the commit marker holds."""
    return f"{seal}\n".encode()


def read_seal(folder: Path) -> str:
    """The seal of a folder that was written whole; its files are not looked at.

    Raises:
        DataError: When manifest or commit marker are missing, or do not agree.
    """
    return load_manifest(folder)[1]


def load_manifest(folder: Path, seal: str | None = None) -> tuple[Manifest, str]:
    """A folder's manifest and seal.

    Args:
        folder: A case, or the cohort's root.
        seal: What the seal must be, where that is known.

    Raises:
        DataError: Says which of the two files is missing or wrong.
    """
    content, commit = _read(folder / layout.MANIFEST), _read(folder / layout.COMMIT)
    found = seal_of(content)
    if commit != commit_content(found):
        raise DataError(f"{layout.MANIFEST} and {layout.COMMIT} do not agree")
    if seal is not None and found != seal:
        raise DataError(f"{layout.MANIFEST} is not the one that the cohort was closed with")
    return Manifest.from_bytes(content), found


def check_content(path: Path, entry: FileEntry) -> str | None:
    """What is wrong with a file, every byte of it read, else ``None``."""
    if (fault := check_size(path, entry)) is not None:
        return fault
    with open_plain(path) as stream:
        same = hashlib.file_digest(stream, "sha256").hexdigest() == entry.sha256
    return None if same else "content changed (SHA-256)"


def check_size(path: Path, entry: FileEntry) -> str | None:
    """What is wrong with a file by its kind and size alone, else ``None``."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if not stat.S_ISREG(status.st_mode):
        return NOT_PLAIN
    if status.st_size == entry.bytes:
        return None
    return "empty" if not status.st_size else f"{status.st_size} bytes instead of {entry.bytes}"


def check_shard(path: Path, entry: FileEntry) -> str | None:
    """What is wrong with a shard by its size and its end, in one short read, else ``None``."""
    if (fault := check_size(path, entry)) is not None:
        return fault
    with open_plain(path) as stream:
        tail = shard_tail(stream.fileno(), entry.bytes, entry.chunks or 0)
    return None if hashlib.sha256(tail).hexdigest() == entry.tail_sha256 else "its index changed"


def _read(path: Path) -> bytes:
    try:
        return read_plain(path)
    except FileNotFoundError:
        raise DataError(f"{path.name} is missing") from None
    except OSError as error:
        raise DataError(f"{path.name} is not readable ({error.strerror})") from None
