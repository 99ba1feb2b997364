"""Which file system a folder is on."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dcam_dist.hpc.doctor.machine import Machine, text_of

SHARED: Mapping[str, str] = MappingProxyType(
    {
        "nfs": "NFS",
        "nfs4": "NFS",
        "lustre": "Lustre",
        "gpfs": "GPFS",
        "beegfs": "BeeGFS",
        "ceph": "CephFS",
        "cifs": "SMB",
        "smb3": "SMB",
        "wekafs": "WEKA",
        "panfs": "PanFS",
        "afs": "AFS",
        "9p": "9P",
        "virtiofs": "virtiofs",
        "orangefs": "OrangeFS",
        "glusterfs": "GlusterFS",
    }
)
"""Kinds that other nodes see too, or that another machine serves."""


def kind_of(folder: Path, machine: Machine) -> str:
    """The kind of file system as the kernel names it; empty where it cannot be told."""
    best, kind = -1, ""
    for point, its_kind in _mounts(machine):
        if (folder == point or point in folder.parents) and len(
            point.parts
        ) >= best:  # a later mount hides an earlier one
            best, kind = len(point.parts), its_kind
    return kind


def is_shared(kind: str) -> bool:
    """Whether a kind is not the node's own."""
    return kind.removeprefix("fuse.") in SHARED or kind.startswith("fuse.sshfs")


def spoken(kind: str) -> str:
    """A kind for people."""
    return SHARED.get(kind.removeprefix("fuse."), kind) or "an unknown file system"


def _mounts(machine: Machine) -> list[tuple[Path, str]]:
    found = []
    for line in text_of(machine.proc / "self/mountinfo").splitlines():
        before, dash, after = line.partition(" - ")
        words = before.split()
        if dash and len(words) > 4 and after.split():
            found.append((Path(_unescaped(words[4])), after.split()[0]))
    return found


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path)
