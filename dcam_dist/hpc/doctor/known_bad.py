"""Versions of libraries that are known to hurt this work. Short on purpose: there is no entry without a source."""

from collections.abc import Sequence
from dataclasses import dataclass

from dcam_dist.hpc.doctor.libraries import Library
from dcam_dist.hpc.doctor.line import Line, warn
from dcam_dist.hpc.doctor.numbers import numbers_of


@dataclass(frozen=True)
class KnownBad:
    """A span of versions.

    Attributes:
        family: Of the library.
        first: The first that is bad.
        good: The first after it that is not.
        what: What goes wrong.
        source: Who says so.
        machine: As ``platform.machine()``; empty: all.
    """

    family: str
    first: str
    good: str
    what: str
    source: str
    machine: str = ""


KNOWN_BAD = (
    KnownBad(
        "cuDNN",
        "9.8",
        "9.15",
        "3D convolutions in 16 bits give wrong results, or torch goes round cuDNN, slowly and with much more memory",
        "https://github.com/pytorch/pytorch/issues/163539, https://github.com/pytorch/pytorch/issues/166643",
    ),
    KnownBad(
        "cuDNN",
        "9.10.2",
        "9.16",
        "a kernel for 3D convolutions in TF32 is broken",
        "https://github.com/pytorch/pytorch/pull/167024",
    ),
    KnownBad("NCCL", "2.25", "2.26", "ncclCommAbort hangs", "https://github.com/pytorch/pytorch/issues/149153"),
    KnownBad("NCCL", "2.29.2", "2.29.3", "collectives hang", "https://github.com/pytorch/pytorch/pull/174338"),
    KnownBad(
        "NCCL",
        "2.0",
        "2.29.3",
        "collectives may hang on ARM without an error",
        "https://github.com/marin-community/marin/pull/8038, NCCL's release notes of 2.29.3",
        "aarch64",
    ),
)


def judge_known_bad(libraries: Sequence[Library], machine: str) -> list[Line]:
    """A line for each loaded library in a bad version."""
    return [
        warn(
            "CUDA libraries",
            f"{one.family} {one.version}: {bad.what} ({bad.source})",
            f"install {bad.family} {bad.good} or newer, as constraints/cuda13.txt does",
        )
        for one in libraries
        for bad in KNOWN_BAD
        if one.family == bad.family and one.version and bad.machine in ("", machine)
        if numbers_of(bad.first) <= numbers_of(one.version) < numbers_of(bad.good)
    ]
