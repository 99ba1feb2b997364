"""Files that survive a power cut, and folders that are there whole or not at all."""

import os
import shutil
import uuid
from pathlib import Path
from typing import Literal

from dcam_dist.cohort import layout


def replace_file(cohort: Path, name: str, content: bytes) -> None:
    """Write a file of the cohort so that it is, at any time and after a power cut, either the old or the new one."""
    side = incoming(cohort) / f"{Path(name).name}.{uuid.uuid4().hex}"
    write_file(side, content)
    side.replace(cohort / name)
    sync((cohort / name).parent)


def write_file(path: Path, content: bytes) -> None:
    """Write a new file down to the disk."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync(path: Path) -> None:
    """Bring a file or a folder's list of names down to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(folder: Path) -> None:
    """Bring the lists of names of a folder and all folders in it down to the disk, the innermost first."""
    for root, _, _ in os.walk(folder, topdown=False):
        sync(Path(root))


def incoming(cohort: Path) -> Path:
    """The folder of everything unfinished, made where it is not there."""
    folder = cohort / layout.INCOMING
    folder.mkdir(exist_ok=True)
    return folder


def side_folder(cohort: Path, case_id: str, kind: Literal["new", "old"]) -> Path:
    """A fresh name among the unfinished things, for a case on its way in or out."""
    return incoming(cohort) / f"{case_id}.{uuid.uuid4().hex}.{kind}"


def remove_case(cohort: Path, case_id: str) -> None:
    """Take a case out of the cohort in one rename; ``clear_incoming`` deletes it."""
    (cohort / layout.CASES / case_id).rename(side_folder(cohort, case_id, "old"))
    sync(cohort / layout.CASES)


def clear_incoming(cohort: Path) -> None:
    """Delete what interrupted writers left."""
    shutil.rmtree(cohort / layout.INCOMING, ignore_errors=True)


def remove(path: Path) -> None:
    """Delete a file, a link (never what it leads to) or a folder tree."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
