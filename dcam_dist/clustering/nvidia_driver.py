"""Which NVIDIA driver the kernel has."""

import re
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/version")


def driver_version(file: Path = DRIVER) -> str | None:
    """Its version; empty where the file names none, ``None`` where there is no driver."""
    try:
        said = re.search(r"\s(\d+\.\d[\d.]*)\s", file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return said[1] if said else ""
