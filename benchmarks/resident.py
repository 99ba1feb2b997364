"""This process's resident memory, exactly: the kernel keeps its peak."""

import ctypes
import gc
from pathlib import Path


def resident_bytes() -> int:
    """Resident now."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """The most that was resident since ``forget_peak``."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Give free memory back to the system and begin anew from what is resident then (proc(5), clear_refs)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])
