"""Limits of a process (``ulimit``) and shared memory."""

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dcam_dist.hpc.doctor.line import Line, fail, ok, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.numbers import GIB, size

ENDLESS = resource.RLIM_INFINITY
LIMITS: Mapping[str, int] = MappingProxyType(
    {
        "nofile": resource.RLIMIT_NOFILE,
        "nproc": resource.RLIMIT_NPROC,
        "memlock": resource.RLIMIT_MEMLOCK,
        "stack": resource.RLIMIT_STACK,
        "core": resource.RLIMIT_CORE,
        "fsize": resource.RLIMIT_FSIZE,
    }
)
FEW_FILES, ENOUGH_FILES = 256, 1024
"""A rank holds sockets to its peers and files of the cohort and of torch: below the first
are too few, the second is enough."""
FEW_THREADS, ENOUGH_THREADS = 128, 1024
"""The limit counts all threads of the user on this machine; a rank alone has dozens."""
SHM = "/dev/shm"  # noqa: S108 - its name only
SMALL_STACK = 2**22
SMALL_SHM, ENOUGH_SHM = 2**26, GIB
"""Docker's default is 64 MiB; NCCL takes tens of MiB for each pair of GPUs."""
SMALL_FILE, LARGE_FILE = GIB, 64 * GIB


@dataclass(frozen=True)
class Limit:
    """A limit as the kernel has it; ``ENDLESS`` is none.

    Attributes:
        soft: What holds.
        hard: How far the user may raise it.
    """

    soft: int
    hard: int


def limit_lines(machine: Machine) -> list[Line]:
    """Read all limits of this process, which those that it starts inherit."""
    limits = {name: Limit(*resource.getrlimit(number)) for name, number in LIMITS.items()}
    return [
        *judge_limits(limits, infiniband=(machine.sys / "class/infiniband").is_dir()),
        shm_line(machine.dev / "shm"),
    ]


def judge_limits(limits: Mapping[str, Limit], *, infiniband: bool) -> list[Line]:
    """A line for each limit.

    Args:
        limits: By the keys of ``LIMITS``.
        infiniband: Whether there is such a device, which wants locked memory.
    """
    return [
        judge_least("nofile", limits["nofile"], FEW_FILES, ENOUGH_FILES, "-n"),
        judge_least("nproc", limits["nproc"], FEW_THREADS, ENOUGH_THREADS, "-u"),
        judge_memlock(limits["memlock"], infiniband=infiniband),
        judge_stack(limits["stack"]),
        judge_core(limits["core"]),
        judge_fsize(limits["fsize"]),
    ]


def judge_least(name: str, limit: Limit, few: int, enough: int, option: str) -> Line:
    """A number of things that must not be too small."""
    if above(limit.soft, enough):
        return ok(f"ulimit {name}", _count(limit.soft))
    said = fail if limit.soft < few else warn
    can = above(limit.hard, enough)
    remedy = f"ulimit {option} {enough}" if can else f"ask the administrators for {enough} or more (limits.conf)"
    return said(f"ulimit {name}", f"{limit.soft}; {enough} or more are wanted", remedy)


def judge_memlock(limit: Limit, *, infiniband: bool) -> Line:
    """InfiniBand registers memory, which counts as locked."""
    if limit.soft == ENDLESS or not infiniband:
        return ok("ulimit memlock", _bytes(limit.soft))
    remedy = "ulimit -l unlimited" if limit.hard == ENDLESS else "ask the administrators for unlimited memlock in jobs"
    return warn("ulimit memlock", f"{_bytes(limit.soft)}, and InfiniBand is here, which locks memory", remedy)


def judge_stack(limit: Limit) -> Line:
    """Compilers and codecs need some."""
    if above(limit.soft, SMALL_STACK):
        return ok("ulimit stack", _bytes(limit.soft))
    return warn("ulimit stack", f"only {_bytes(limit.soft)}", "ulimit -s 8192")


def judge_core(limit: Limit) -> Line:
    """A core file holds the memory of a process, and so scans of patients."""
    if limit.soft == 0:
        return ok("ulimit core", "none are written")
    found = "a crash would write the memory of a process to a file, with the volumes in it"
    return warn("ulimit core", found, "ulimit -c 0")


def judge_fsize(limit: Limit) -> Line:
    """Checkpoints and shards of a cohort are large files."""
    if above(limit.soft, LARGE_FILE):
        return ok("ulimit fsize", _bytes(limit.soft))
    said = fail if limit.soft < SMALL_FILE else warn
    return said("ulimit fsize", f"no file may be larger than {_bytes(limit.soft)}", "ulimit -f unlimited")


def shm_line(folder: Path) -> Line:
    """Look at shared memory."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return judge_shm(None, None)
    return judge_shm(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def judge_shm(total: int | None, free: int | None) -> Line:
    """Bytes of ``/dev/shm``; ``None`` where it is not there."""
    larger = "in a container: docker run --shm-size=8g, or bind the host's /dev/shm; else ask for a larger one"
    if total is None or free is None:
        return fail(SHM, "is not there", larger)
    found = f"{size(free)} free of {size(total)}"
    if total < SMALL_SHM or free < SMALL_SHM // 4:
        return fail(SHM, found, f"remove what others left there (ls -l /dev/shm); {larger}")
    if free < ENOUGH_SHM:
        return warn(SHM, f"{found}; NCCL between the GPUs of a node wants {size(ENOUGH_SHM)}", larger)
    return ok(SHM, found)


def above(value: int, least: int) -> bool:
    """Whether a limit is at least so high."""
    return value == ENDLESS or value >= least


def _count(value: int) -> str:
    return "unlimited" if value == ENDLESS else str(value)


def _bytes(value: int) -> str:
    return "unlimited" if value == ENDLESS else size(value)
