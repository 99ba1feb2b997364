"""The CUDA libraries that a process has really loaded, by its memory map, and their own word on their versions."""

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

from dcam_dist.hpc.doctor.line import Line, ok, warn
from dcam_dist.hpc.doctor.numbers import dotted

FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "cuDNN": r"libcudnn(_\w+)?",
        "NCCL": r"libnccl",
        "CUDA runtime": r"libcudart",
        "cuBLAS": r"libcublas(Lt)?",
        "nvJitLink": r"libnvJitLink",
    }
)
"""Name → how its files begin; a copy of cuDNN or cuBLAS has several."""
ONE_COPY = ("cuDNN", "NCCL", "nvJitLink")
"""Two copies of these in one process have been seen to break it (https://github.com/rapidsai/cugraph/issues/4465,
https://github.com/pytorch/pytorch/issues/134929)."""


@dataclass(frozen=True)
class Library:
    """One copy of a library in a process.

    Attributes:
        family: A key of ``FAMILIES``.
        folder: Where its files lie.
        version: Empty where it does not say.
    """

    family: str
    folder: str
    version: str = ""


def loaded_files(maps: str) -> dict[tuple[str, str], str]:
    """Family and folder of each copy → its first file, as in ``/proc/PID/maps``."""
    found: dict[tuple[str, str], str] = {}
    for line in maps.splitlines():
        place = line.find("/")
        if place < 0:
            continue
        file = PurePath(line[place:].removesuffix(" (deleted)"))
        family = next(
            (name for name, begin in FAMILIES.items() if re.match(rf"{begin}(-[0-9a-f]+)?\.so", file.name)), None
        )
        if family is not None:
            found.setdefault((family, str(file.parent)), str(file))
    return dict(sorted(found.items()))


def loaded_libraries(maps: str) -> list[Library]:
    """Those of this very process; each is asked for its version."""
    return [Library(family, folder, version_of(family, file)) for (family, folder), file in loaded_files(maps).items()]


def version_of(family: str, file: str) -> str:
    """The version that a library gives itself; empty where it does not."""
    try:
        return dotted(_ask(family, ctypes.CDLL(file)))
    except (OSError, AttributeError):
        return ""


def judge_copies(libraries: Sequence[Library]) -> list[Line]:
    """What is loaded, and a line for each library that is there twice."""
    if not libraries:
        return [ok("CUDA libraries", "none loaded")]
    named = [f"{one.family} {one.version}".strip() for one in libraries]
    return [
        ok("CUDA libraries", ", ".join(named)),
        *(line for family in ONE_COPY for line in _twice(family, libraries)),
    ]


def _twice(family: str, libraries: Sequence[Library]) -> list[Line]:
    copies = [one for one in libraries if one.family == family]
    if len(copies) < 2:
        return []
    listed = ", ".join(f"{one.version or 'unknown version'} in {one.folder}" for one in copies)
    remedy = "unset LD_LIBRARY_PATH and unload CUDA modules; if it stays, install one of the sets in constraints/ anew"
    return [warn("CUDA libraries", f"{len(copies)} copies of {family} in one process: {listed}", remedy)]


def _ask(family: str, library: ctypes.CDLL) -> tuple[int, ...]:
    first, second = ctypes.c_int(), ctypes.c_int()
    if family == "cuDNN":
        library.cudnnGetVersion.restype = ctypes.c_size_t
        return _split(library.cudnnGetVersion(), 10_000)
    if family == "NCCL":
        library.ncclGetVersion(ctypes.byref(first))
        return _split(first.value, 10_000)
    if family == "CUDA runtime":
        library.cudaRuntimeGetVersion(ctypes.byref(first))
        return first.value // 1000, first.value % 1000 // 10
    if family == "nvJitLink":
        library.nvJitLinkVersion(ctypes.byref(first), ctypes.byref(second))
        return first.value, second.value
    parts = (ctypes.c_int(), ctypes.c_int(), ctypes.c_int())
    ask = library.cublasGetProperty if hasattr(library, "cublasGetProperty") else library.cublasLtGetProperty
    for which, part in enumerate(parts):
        ask(which, ctypes.byref(part))
    return tuple(part.value for part in parts)


def _split(number: int, major: int) -> tuple[int, ...]:
    return number // major, number % major // 100, number % 100
