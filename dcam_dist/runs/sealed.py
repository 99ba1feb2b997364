"""A folder of files under a SHA-256 manifest, which is written last: whole and as it was written, or refused."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcam_dist.cohort.durable import sync, write_file
from dcam_dist.cohort.plain import open_plain
from dcam_dist.errors import DataError
from dcam_dist.runs.places import MANIFEST


def write_sealed(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files into an empty folder and bring them down to the disk, then the manifest, then the list of names.

    The hashes are of the content in memory, so that a byte that went wrong on its way to the disk is found.

    Raises:
        OSError: When the disk is full or refuses.
    """
    manifest = {}
    for name, content in files:
        write_file(folder / name, content)
        manifest[name] = _fingerprint(content)
    write_file(folder / MANIFEST, _to_bytes(manifest))
    sync(folder)


def read_sealed(folder: Path, *, most_bytes: int | None = None, names: Set[str] | None = None) -> dict[str, bytes]:
    """The content of each file, every byte compared with the manifest.

    Args:
        folder: Was written by ``write_sealed``.
        most_bytes: What its files may take in all, for a folder that may come from anywhere.
        names: The files that it must hold, no more and no fewer; ``None``: those of the manifest.

    Raises:
        DataError: When a file is missing, is one too many, or is not the one that was written. Says which.
    """
    manifest, left = _read_manifest(folder, most_bytes), most_bytes
    if names is not None and manifest.keys() != names:
        raise DataError(f"{MANIFEST} lists other files than {', '.join(sorted(names))}")
    files = {}
    for name, expected in manifest.items():
        files[name] = _read(folder, name, left)
        left = None if left is None else left - len(files[name])
        if _fingerprint(files[name]) != expected:
            raise DataError(f"{name} is damaged")
    return files


@contextmanager
def written_whole(home: Path) -> Iterator[Path]:
    """A fresh folder beside ``home``, which takes its place at the end; an earlier one is there until then.

    Where the work in it fails, it is gone and the earlier one stays.

    Raises:
        OSError: When it cannot be made or renamed.
    """
    side = home.with_name(f".{home.name}.new-{uuid.uuid4().hex}")
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        side.mkdir()
        yield side
        _put_in_place(side, home)
    finally:
        shutil.rmtree(side, ignore_errors=True)


def _put_in_place(side: Path, home: Path) -> None:
    old = home.with_name(f".{home.name}.old-{uuid.uuid4().hex}")
    if home.exists():
        home.rename(old)
    try:
        side.rename(home)
    except OSError:
        if old.exists():
            old.rename(home)
        raise
    sync(home.parent)
    shutil.rmtree(old, ignore_errors=True)


def _read_manifest(folder: Path, most_bytes: int | None) -> dict[str, Any]:
    content = _read(folder, MANIFEST, most_bytes)
    try:
        manifest = json.loads(content)
        same = _to_bytes(manifest) == content and all(_is_plain_name(name) for name in manifest)
    except (ValueError, TypeError, AttributeError, RecursionError):
        same = False
    if not same or not isinstance(manifest, dict):
        raise DataError(f"{MANIFEST} is damaged")
    return manifest


def _is_plain_name(name: str) -> bool:
    return name.isascii() and name.isprintable() and name == Path(name).name


def _read(folder: Path, name: str, most_bytes: int | None) -> bytes:
    try:
        with open_plain(folder / name) as stream:
            content = stream.read() if most_bytes is None else stream.read(most_bytes + 1)
    except FileNotFoundError:
        raise DataError(f"{name} is missing") from None
    except OSError as error:
        raise DataError(f"{name} is not readable ({error.strerror})") from None
    if most_bytes is not None and len(content) > most_bytes:
        raise DataError(f"{name} is larger than it can be")
    return content


def _to_bytes(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1, sort_keys=True).encode()


def _fingerprint(content: bytes) -> dict[str, int | str]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
