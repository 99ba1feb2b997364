"""Memory and processors that this process may use, of those that the machine has."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dcam_dist.hpc.doctor.cgroups import MemoryLimit, memory_limits, processor_quota
from dcam_dist.hpc.doctor.line import Line, fail, ok, warn
from dcam_dist.hpc.doctor.machine import Machine, text_of
from dcam_dist.hpc.doctor.numbers import GIB, size

LITTLE, ENOUGH = GIB, 4 * GIB
"""A process with torch loaded takes about 0.5 GiB before it holds a volume."""


@dataclass(frozen=True)
class Processors:
    """How many of them.

    Attributes:
        online: Of the machine.
        allowed: On which this process may run.
        quota: Whose time it may use; ``None``: no limit.
    """

    online: int
    allowed: int
    quota: float | None

    @property
    def usable(self) -> float:
        """What threads should be counted by."""
        return self.allowed if self.quota is None else min(self.allowed, self.quota)


def resource_lines(machine: Machine) -> list[Line]:
    """Look at both."""
    total, available = (meminfo(machine, name) for name in ("MemTotal", "MemAvailable"))
    return [judge_memory(total, available, memory_limits(machine)), judge_processors(processors(machine))]


def meminfo(machine: Machine, name: str) -> int | None:
    """Bytes, as the kernel counts them."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", text_of(machine.proc / "meminfo"), flags=re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def processors(machine: Machine) -> Processors:
    """Of this process."""
    return Processors(os.cpu_count() or 1, len(os.sched_getaffinity(0)), processor_quota(machine))


def judge_memory(total: int | None, available: int | None, limits: Sequence[MemoryLimit]) -> Line:
    """How much may still be taken.

    Args:
        total: Bytes of the machine.
        available: Bytes of it that are free or can be freed.
        limits: Of all control groups that hold.
    """
    rooms = [one.left for one in limits] + ([] if available is None else [available])
    if not rooms:
        return warn("memory", "cannot be told", "look at free -h")
    left, limit = min(rooms), min((one.limit for one in limits), default=None)
    of = size(total) if total is not None else "unknown"
    bound = (
        f"limited to {size(limit)} by a control group"
        if limit is not None and limit < (total or limit + 1)
        else "no limit"
    )
    found = f"{size(left)} can be taken; the machine has {of}, {bound}"
    if left >= ENOUGH:
        return ok("memory", found)
    said = fail if left < LITTLE else warn
    return said(
        "memory",
        found,
        "ask the scheduler for more (Slurm: --mem=…), or docker run --memory=…; dcam-dist plan says how much",
    )


def judge_processors(facts: Processors) -> Line:
    """Whether threads would fight for less time than there are processors to see."""
    found = f"{facts.allowed} of {facts.online} may be used"
    if facts.quota is not None and facts.quota < facts.allowed:
        threads = max(1, int(facts.quota))
        return warn(
            "processors",
            f"{found}, but the time of {facts.quota:.1f} only: threads beyond that are stopped and wait",
            f"export OMP_NUM_THREADS={threads}, or ask for more processor time",
        )
    if facts.allowed == 1 and facts.online > 2:
        return warn("processors", found, "ask for more: Slurm's srun wants --cpus-per-task again, PBS ncpus, LSF -n")
    return ok("processors", found)
