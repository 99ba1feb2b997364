"""What a control group leaves a process: of memory, and of processor time. A group's limit holds for all below it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.hpc.doctor.machine import Machine, text_of

_NO_LIMIT = 2**60
"""Version 1 writes "no limit" as a number near 2**63."""


@dataclass(frozen=True)
class MemoryLimit:
    """Of one group.

    Attributes:
        limit: Bytes.
        used: Bytes that it holds and that cannot be taken back at once (files that nobody has read lately can).
    """

    limit: int
    used: int

    @property
    def left(self) -> int:
        """Bytes that may still be taken."""
        return max(0, self.limit - self.used)


def folders(machine: Machine, controller: str) -> list[Path]:
    """The folders of this process's group and of those above it, innermost first; of version 1 and 2."""
    found = []
    for line in text_of(machine.proc / "self/cgroup").splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        for base in _bases(machine.cgroup, names, controller):
            found += list(_upwards(base, path))
    return list(dict.fromkeys(found))


def memory_limits(machine: Machine) -> list[MemoryLimit]:
    """Every limit that holds, innermost first."""
    limits = []
    for folder in folders(machine, "memory"):
        limit = _first_number(folder, "memory.max", "memory.limit_in_bytes")
        if limit is not None and limit < _NO_LIMIT:
            used = _first_number(folder, "memory.current", "memory.usage_in_bytes") or 0
            limits.append(MemoryLimit(limit, max(0, used - _reclaimable(folder))))
    return limits


def processor_quota(machine: Machine) -> float | None:
    """Processors whose time may be used, the tightest of all groups; ``None``: no limit."""
    quotas = [quota for folder in folders(machine, "cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _bases(mounted: Path, names: str, controller: str) -> list[Path]:
    if not names:
        return [mounted, mounted / "unified"]
    return [mounted / names, mounted / controller] if controller in names.split(",") else []


def _upwards(base: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part]
    if ".." in parts:  # a group outside of this namespace
        parts = []
    for length in range(len(parts), -1, -1):
        folder = base.joinpath(*parts[:length])
        if folder.is_dir():
            yield folder


def _reclaimable(folder: Path) -> int:
    found = re.search(r"^(?:total_)?inactive_file (\d+)$", text_of(folder / "memory.stat"), flags=re.MULTILINE)
    return int(found[1]) if found else 0


def _quota(folder: Path) -> float | None:
    words = text_of(folder / "cpu.max").split()
    if not words:
        words = [text_of(folder / f"cpu.cfs_{part}_us").strip() for part in ("quota", "period")]
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:
        return None  # "max", -1 or nothing
    return int(words[0]) / int(words[1])


def _first_number(folder: Path, *names: str) -> int | None:
    for name in names:
        if (text := text_of(folder / name).strip()).isdecimal():
            return int(text)
    return None
