"""What the targets share: the folder of one input, its made-up patient, and the notes on what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

CANARY = "Zanzibarovna"
"""Stands in every folder and file name and in every patient's name; no output may hold it."""


@dataclass
class Input:
    """One input, and what was seen of it.

    Attributes:
        folder: Its own folder; the working directory while it runs. What is read is under ``scans`` in it.
        seed: What it was made from.
        rng: Its source of chance.
        mutation: What was done to it, in words.
        texts: What is given beside the files.
        allowed_digests: Where only bytes under a checksum were changed: the voxels that may be read from it.
        digests: Of the voxels that were read.
        outcomes: Reason codes, ``accepted`` or the kind of error.
        problems: What must not happen.
    """

    folder: Path
    seed: int
    rng: Random
    mutation: str = ""
    texts: list[str] = field(default_factory=list)
    allowed_digests: frozenset[str] = frozenset()
    digests: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def scans(self) -> Path:
        """The folder of the files that are read."""
        return self.folder / "scans"

    def says(self, line: str) -> None:
        """Check one line that a user would read."""
        if CANARY.casefold() in line.casefold():
            self.problems.append(f"names the patient: {line[:300]}")
        if len(line.splitlines()) > 1 or len(line) > 1000:
            self.problems.append(f"no short line: {len(line)} characters: {line[:100]!r}")


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        prepare: Makes the valid inputs once a process, in a folder.
        make: Writes one mutated input, from the chance of its seed alone.
        run: Sends it along the public path.
    """

    prepare: Callable[[Path], None]
    make: Callable[[Input, Path], None]
    run: Callable[[Input], None]
