"""Versions and sizes as people write them."""

import re

GIB = 2**30


def numbers_of(version: str) -> tuple[int, ...]:
    """``580.65.06`` gives 580, 65, 6; what is no number ends it."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def dotted(version: tuple[int, ...]) -> str:
    """The other way round."""
    return ".".join(map(str, version))


def size(count: float) -> str:
    """Bytes with a unit: ``12.3 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
