"""Where a run's checkpoints lie, and their order.

    RUN/checkpoints/epoch-0007-3-train-000120/   epochs done, number and name of the phase, steps done
    RUN/checkpoints/epoch-0007-3-train-000120.2/ saved there once more: there is no moment without the first
    RUN/checkpoints/.new-… .old-…                on its way in or out; cleared at the next start

The order is by position and never by time, for clocks differ.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.types import Phase, Position

FOLDER = "checkpoints"
MANIFEST = "MANIFEST.json"
"""Written last: a checkpoint with one was once whole."""
_NAME = re.compile(r"epoch-(\d+)-\d-([a-z]+)-(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, order=True)
class Place:
    """A committed checkpoint, ordered as the work is.

    Attributes:
        position: Where the run stood.
        again: How often it was saved there.
        folder: Where it lies.
    """

    position: Position
    again: int
    folder: Path


def places(run: Path) -> list[Place]:
    """The committed checkpoints of a run, the newest first, not yet verified."""
    found = (place_of(folder) for folder in (run / FOLDER).glob("epoch-*"))
    return sorted((place for place in found if place is not None), reverse=True)


def place_of(folder: Path) -> Place | None:
    """What a folder's name says; ``None`` when it is no checkpoint's."""
    match = _NAME.fullmatch(folder.name)
    if match is None or match[2].upper() not in Phase.__members__:
        return None
    return Place(Position(int(match[1]), Phase[match[2].upper()], int(match[3])), int(match[4] or 1), folder)


def free_name(run: Path, position: Position) -> str:
    """The name for the next checkpoint at a position."""
    name = f"epoch-{position.epoch:04d}-{position.phase:d}-{position.phase.name.lower()}-{position.step:06d}"
    saved = max((place.again for place in places(run) if place.position == position), default=0)
    return f"{name}.{saved + 1}" if saved else name
