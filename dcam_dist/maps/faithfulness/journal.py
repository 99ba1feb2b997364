"""What is measured already, kept case by case, so that an interrupted measuring goes on where it stood."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcam_dist.errors import EnvironmentFault

JOURNAL = "faithfulness.partial.jsonl"


@dataclass(frozen=True, eq=False)
class Journal:
    """Lines of JSON beside the run.

    Attributes:
        path: The file; gone once the finished file is there.
        left: What an earlier measuring of the same things left, in its order.
    """

    path: Path
    left: tuple[Any, ...]

    def add(self, tree: Any) -> None:
        """Keep one more line.

        Raises:
            EnvironmentFault: When it cannot be written.
        """
        _write(self.path, "ab", [tree])


def open_journal(folder: Path, about: str) -> Journal:
    """Go on with what was kept, or begin where nothing was, or something else was measured.

    Args:
        folder: The run's.
        about: All that decides the numbers.

    Raises:
        EnvironmentFault: When it cannot be written.
    """
    path = folder / JOURNAL
    lines = _whole_lines(path)
    left = lines[1:] if lines[:1] == [{"about": about}] else []
    _write(path, "wb", [{"about": about}, *left])
    return Journal(path, tuple(left))


def _whole_lines(path: Path) -> list[Any]:
    """Up to the first that is torn, which a kill can leave."""
    found: list[Any] = []
    try:
        for line in path.read_bytes().splitlines():
            found.append(json.loads(line))
    except (OSError, ValueError):
        pass
    return found


def _write(path: Path, mode: str, trees: list[Any]) -> None:
    try:
        with path.open(mode) as stream:
            stream.write(b"".join(json.dumps(tree, allow_nan=False).encode() + b"\n" for tree in trees))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written ({error.strerror})") from None
