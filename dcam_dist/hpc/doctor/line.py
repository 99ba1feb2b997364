"""What a check says: one line, its state, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Of a line, from good to bad."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Line:
    """One finding.

    Attributes:
        name: What was looked at.
        state: ``warn``: may hurt; ``fail``: the work will fail here.
        found: What was found.
        remedy: What to type or whom to ask; empty where all is well.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> Line:
    """Nothing to do."""
    return Line(name, State.OK, found)


def warn(name: str, found: str, remedy: str) -> Line:
    """May hurt."""
    return Line(name, State.WARN, found, remedy)


def fail(name: str, found: str, remedy: str) -> Line:
    """The work will fail."""
    return Line(name, State.FAIL, found, remedy)


def some(words: Iterable[str], most: int = 4) -> str:
    """The first few of a list, and how many more there are."""
    listed = list(words)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
