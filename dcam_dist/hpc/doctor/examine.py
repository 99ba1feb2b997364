"""All checks, at the same time and for a limited time; one that breaks costs its own lines only."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from dcam_dist.hpc.doctor.caches import cache_lines
from dcam_dist.hpc.doctor.clock import clock_lines
from dcam_dist.hpc.doctor.disk import disk_lines
from dcam_dist.hpc.doctor.gpus import gpu_lines
from dcam_dist.hpc.doctor.limits import limit_lines
from dcam_dist.hpc.doctor.line import Line, State, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.network import host_lines, network_lines
from dcam_dist.hpc.doctor.packages import package_lines
from dcam_dist.hpc.doctor.resources import resource_lines
from dcam_dist.hpc.doctor.scheduler import scheduler_lines
from dcam_dist.hpc.doctor.stack import PATIENCE_S, stack_lines
from dcam_dist.hpc.doctor.variables import variable_lines

Check = Callable[[Machine], list[Line]]
CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "packages": package_lines,
        "libraries": stack_lines,
        "GPUs": gpu_lines,
        "memory and processors": resource_lines,
        "limits": limit_lines,
        "disk": disk_lines,
        "caches": cache_lines,
        "clock": clock_lines,
        "scheduler": scheduler_lines,
        "network": network_lines,
        "host name": host_lines,
        "variables": variable_lines,
    }
)
LONGEST_S = PATIENCE_S + 10.0


def examine(
    machine: Machine | None = None, checks: Mapping[str, Check] = CHECKS, longest_s: float = LONGEST_S
) -> list[Line]:
    """Is this machine fit for the work?

    Args:
        machine: Where to look; ``None``: here.
        checks: By name, in the order of their lines.
        longest_s: Seconds for all together. Whoever asks a dead file server waits for ever; such a check is left.

    Returns:
        The lines of all checks.
    """
    here = machine or Machine()
    found: dict[str, list[Line]] = {}
    threads = {name: _start(name, check, here, found) for name, check in checks.items()}
    deadline = time.monotonic() + longest_s
    for thread in threads.values():
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
    silent = "is a file server or a name server down? look at dmesg, and at df -h"
    return [
        line for name in checks for line in found.get(name, [warn(name, f"no answer in {longest_s:.0f} s", silent)])
    ]


def failed(lines: Sequence[Line]) -> list[str]:
    """Names of what failed."""
    return list(dict.fromkeys(line.name for line in lines if line.state is State.FAIL))


def _start(name: str, check: Check, machine: Machine, found: dict[str, list[Line]]) -> threading.Thread | None:
    def look() -> None:
        try:
            found[name] = check(machine)
        except Exception as error:  # whatever a strange machine brings about
            said = f"the check itself failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            found[name] = [warn(name, said, "nothing is known of this; please report it with this line")]

    thread = threading.Thread(target=look, name=f"doctor: {name}", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the limit of threads is reached, which is a finding: look without a guard against silence
        look()
        return None
    return thread
