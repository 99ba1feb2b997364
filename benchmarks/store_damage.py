"""Ways to damage a store: each changes one thing and says which cases must then be named."""

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from dcam_dist.cohort import layout
from dcam_dist.cohort.manifest import load_manifest

SECTOR = 512
ENTRY, CHECKSUM = 16, 4
"""Bytes of a shard's index for each chunk, and of the index's crc32c after them."""


@dataclass(frozen=True)
class Damage:
    """What was done.

    Attributes:
        case_ids: The cases that must be named; empty: the cohort's own files.
        path: What was touched, relative to the store.
        undo: Paths to copy back from the sound store.
    """

    case_ids: frozenset[str]
    path: str
    undo: tuple[str, ...]


Way = Callable[[Path, np.random.Generator], Damage]


def flip(store: Path, rng: np.random.Generator) -> Damage:
    """One bit of one file."""
    return _rewrite(store, _any_file(store, rng), lambda content: _flipped(content, rng))


def truncate(store: Path, rng: np.random.Generator) -> Damage:
    """A file loses its end."""
    return _rewrite(store, _any_file(store, rng), lambda content: content[: rng.integers(len(content))])


def empty(store: Path, rng: np.random.Generator) -> Damage:
    """A file of no bytes."""
    return _rewrite(store, _any_file(store, rng), lambda _: b"")


def insert(store: Path, rng: np.random.Generator) -> Damage:
    """Some bytes more, anywhere in a file."""

    def longer(content: bytes) -> bytes:
        at = int(rng.integers(len(content) + 1))
        return content[:at] + rng.bytes(int(rng.integers(1, 64))) + content[at:]

    return _rewrite(store, _any_file(store, rng), longer)


def zero_sector(store: Path, rng: np.random.Generator) -> Damage:
    """A block of zeros, as a disk gives back what it lost."""

    def zeroed(content: bytes) -> bytes:
        at = int(rng.integers(-(-len(content) // SECTOR))) * SECTOR
        return content[:at] + bytes(len(content[at : at + SECTOR])) + content[at + SECTOR :]

    return _rewrite(store, _any_file(store, rng), zeroed)


def delete(store: Path, rng: np.random.Generator) -> Damage:
    """A file, or now and then a whole case, is gone."""
    path = _any_file(store, rng)
    case_id = _case_of(path)
    if case_id is not None and rng.random() < 0.1:
        path = f"{layout.CASES}/{case_id}"
        shutil.rmtree(store / path)
    else:
        (store / path).unlink()
    return Damage(_named(case_id), path, (path,))


def swap(store: Path, rng: np.random.Generator) -> Damage:
    """Two cases have each other's file."""
    first, second = map(str, rng.choice(_cases(store), size=2, replace=False))
    inside = [path.removeprefix(f"{layout.CASES}/{first}/") for path in _files(store) if _case_of(path) == first]
    name = str(rng.choice(inside))
    one, other = (f"{layout.CASES}/{case_id}/{name}" for case_id in (first, second))
    contents = (store / one).read_bytes(), (store / other).read_bytes()
    if contents[0] == contents[1]:
        return swap(store, rng)
    for path, content in zip((other, one), contents, strict=True):
        (store / path).write_bytes(content)
    return Damage(frozenset((first, second)), one, (one, other))


def lost_chunk(store: Path, rng: np.random.Generator) -> Damage:
    """A shard's index says that a chunk was never written, under a checksum that is right: Zarr reads it as zeros."""
    path = str(rng.choice([path for path in _files(store) if path.endswith(layout.SHARD)]))
    case_id, _, name = path.removeprefix(f"{layout.CASES}/").partition("/")
    chunks = load_manifest(store / layout.CASES / case_id)[0].files[name].chunks or 0
    lost = int(rng.integers(chunks)) * ENTRY

    def without_chunk(content: bytes) -> bytes:
        start = len(content) - CHECKSUM - chunks * ENTRY
        index = content[start : start + lost] + b"\xff" * ENTRY + content[start + lost + ENTRY : -CHECKSUM]
        return content[:start] + index + struct.pack("<I", google_crc32c.value(index))

    return _rewrite(store, path, without_chunk)


def foreign(store: Path, rng: np.random.Generator) -> Damage:
    """A file, a folder or a link that the store did not write."""
    folders = sorted({Path(path).parent.as_posix() for path in _files(store)})
    folder = str(rng.choice(folders))
    path = (Path(folder) / f"stray{rng.integers(1000)}").as_posix()
    make = rng.choice(3)
    if make == 0:
        (store / path).write_bytes(b"stray")
    elif make == 1:
        (store / path).mkdir()
    else:
        (store / path).symlink_to(store / "zarr.json")
    return Damage(_named(_case_of(path)), path, (path,))


def link(store: Path, rng: np.random.Generator) -> Damage:
    """A link in the place of a file."""
    path = _any_file(store, rng)
    (store / path).unlink()
    (store / path).symlink_to(store / "zarr.json")
    return Damage(_named(_case_of(path)), path, (path,))


WAYS: dict[str, tuple[Way, float]] = {
    "bit flip": (flip, 0.5),
    "truncation": (truncate, 0.15),
    "deletion": (delete, 0.1),
    "zero-byte file": (empty, 0.05),
    "insertion": (insert, 0.05),
    "sector of zeros": (zero_sector, 0.05),
    "files of two cases exchanged": (swap, 0.025),
    "chunk marked as never written": (lost_chunk, 0.025),
    "foreign file, folder or link": (foreign, 0.025),
    "link in the place of a file": (link, 0.025),
}
"""With the share of the trials."""


def undo(store: Path, sound: Path, damage: Damage) -> None:
    """Make the store again what it was."""
    for path in damage.undo:
        here, there = store / path, sound / path
        if here.is_symlink() or here.is_file():
            here.unlink()
        elif here.is_dir():
            shutil.rmtree(here)
        if there.is_dir():
            shutil.copytree(there, here)
        elif there.is_file():
            shutil.copyfile(there, here)


def _rewrite(store: Path, path: str, change: Callable[[bytes], bytes]) -> Damage:
    before = (store / path).read_bytes()
    after = change(before)
    while after == before:
        after = change(before)
    (store / path).write_bytes(after)
    return Damage(_named(_case_of(path)), path, (path,))


def _flipped(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]


def _any_file(store: Path, rng: np.random.Generator) -> str:
    """Half of the time any file, half of the time by size, as a disk would hit it."""
    files = _files(store)
    sizes = np.array([(store / path).stat().st_size for path in files], dtype=float)
    return str(rng.choice(files, p=None if rng.random() < 0.5 else sizes / sizes.sum()))


def _files(store: Path) -> list[str]:
    return sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())


def _cases(store: Path) -> list[str]:
    return sorted(folder.name for folder in (store / layout.CASES).iterdir() if folder.is_dir())


def _case_of(path: str) -> str | None:
    parts = path.split("/")
    return parts[1] if parts[0] == layout.CASES and len(parts) > 2 else None


def _named(case_id: str | None) -> frozenset[str]:
    return frozenset() if case_id is None else frozenset((case_id,))
