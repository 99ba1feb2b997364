"""Folders for caches: can they be written to, and are they on this node?"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dcam_dist.hpc.doctor.line import Line, fail, ok, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.mounts import is_shared, kind_of, spoken

USUAL: Mapping[str, str] = MappingProxyType({"XDG_CACHE_HOME": ".cache", "HOME": "."})
"""Below the home, where the variable is not set."""
LOCAL = ("TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Many small files and locks, by all ranks at once: better on this node."""


@dataclass(frozen=True)
class Cache:
    """A folder for caches.

    Attributes:
        variable: That names it.
        folder: As named, or the usual one.
        given: Whether the variable is set.
        trouble: Why it cannot be written to; empty: it can.
        kind: Of its file system.
    """

    variable: str
    folder: Path
    given: bool
    trouble: str = ""
    kind: str = ""


def cache_lines(machine: Machine) -> list[Line]:
    """Try all folders that are named or usual."""
    named = [name for name in (*LOCAL, "MPLCONFIGDIR") if machine.variables.get(name) or name == "TMPDIR"]
    return [judge_cache(find_cache(name, machine)) for name in (*named, *USUAL)]


def find_cache(variable: str, machine: Machine) -> Cache:
    """Try out one folder; where it is not there yet, the nearest above it."""
    given = bool(machine.variables.get(variable))
    usual = machine.temporary if variable == "TMPDIR" else machine.home / USUAL.get(variable, ".")
    folder = machine.path_of(variable, str(usual))
    place = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    trouble = "is not there" if variable == "TMPDIR" and place != folder else write_trouble(place)
    return Cache(variable, folder, given, trouble, kind_of(place.resolve(), machine))


def write_trouble(folder: Path) -> str:
    """Write a file that vanishes; what is wrong, or empty."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"1")
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def judge_cache(cache: Cache) -> Line:
    """Whether it serves."""
    name = f"cache: {cache.variable}"
    found = f"{cache.folder} ({spoken(cache.kind)})" + ("" if cache.given else ", as the variable is not set")
    if cache.trouble:
        said = warn if cache.variable in USUAL else fail
        remedy = f"export {cache.variable}=… to a folder on this node's own disk"
        if cache.variable == "HOME":
            remedy = "set XDG_CACHE_HOME, MPLCONFIGDIR and TRITON_CACHE_DIR to folders below $TMPDIR"
        return said(name, f"{found}: {cache.trouble}", remedy)
    if cache.variable in LOCAL and is_shared(cache.kind):
        remedy = f"export {cache.variable}=… to a folder on this node's own disk, e.g. what the scheduler gives a job"
        return warn(name, f"{found} is shared between nodes: slow, and its locks may hang", remedy)
    return ok(name, found)
