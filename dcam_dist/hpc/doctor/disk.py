"""Room for files: free bytes and inodes of the folders that are written to."""

import os
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.hpc.doctor.line import Line, fail, ok, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.mounts import kind_of, spoken
from dcam_dist.hpc.doctor.numbers import GIB, size
from dcam_dist.hpc.doctor.quota import quota_lines

LITTLE, ENOUGH = GIB // 4, 10 * GIB
"""A checkpoint of the standard network with its optimizer is below the first; the second leaves room for a run."""
FEW_INODES, ENOUGH_INODES = 1_000, 20_000
"""A case is about ten files, a checkpoint as many."""


@dataclass(frozen=True)
class Room:
    """Of a file system, for this user.

    Attributes:
        free: Bytes.
        inodes: Files that can still be made; ``None``: it does not count them.
        read_only: Whether it is mounted so.
    """

    free: int
    inodes: int | None
    read_only: bool = False


def disk_lines(machine: Machine) -> list[Line]:
    """Look at the current folder, the temporary one and the home, then ask for quotas."""
    places = {"current folder": machine.folder, "TMPDIR": machine.temporary, "HOME": machine.home}
    lines = [_line(name, folder, machine) for name, folder in places.items()]
    return [*lines, *quota_lines(machine, list(dict.fromkeys(places.values())))]


def room_in(folder: Path) -> Room:
    """Ask the file system.

    Raises:
        OSError: Where there is no such folder.
    """
    found = os.statvfs(folder)
    inodes = found.f_favail if found.f_files else None
    return Room(found.f_bavail * found.f_frsize, inodes, bool(found.f_flag & os.ST_RDONLY))


def judge_room(name: str, folder: Path, room: Room, kind: str) -> Line:
    """Whether the work can write there."""
    inodes = "" if room.inodes is None else f", {room.inodes} files can still be made"
    found = f"{folder} ({kind}): {size(room.free)} free{inodes}"
    if room.read_only:
        return fail(f"disk: {name}", f"{found}; mounted read-only", "work in a folder that can be written to")
    many = room.inodes is None or room.inodes >= ENOUGH_INODES
    if room.free >= ENOUGH and many:
        return ok(f"disk: {name}", found)
    nothing = room.free < LITTLE or (room.inodes is not None and room.inodes < FEW_INODES)
    said = fail if nothing and name != "HOME" else warn  # nothing of a training is written to HOME unless it is there
    return said(
        f"disk: {name}", found, "remove files there, or work on another file system; dcam-dist plan says how much"
    )


def _line(name: str, folder: Path, machine: Machine) -> Line:
    try:
        room = room_in(folder)
    except OSError as error:
        remedy = (
            f"make it, or set {name} to a folder that is there"
            if name.isupper()
            else "change to a folder that is there"
        )
        return (fail if name != "HOME" else warn)(f"disk: {name}", f"{folder}: {error.strerror}", remedy)
    return judge_room(name, folder, room, spoken(kind_of(folder.resolve(), machine)))
