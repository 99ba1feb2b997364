"""What other verbs wrote beside the run: the faithfulness of its maps, and its association with clinical variables.

Both are read loosely: what is not there, or of another shape, is left out of the page.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from dcam_dist.report.study import read_tree

FAITHFULNESS, ASSOCIATION = "faithfulness.json", "association"
MOST_ROWS = 200


@dataclass(frozen=True)
class Table:
    """A table of texts; ``numeric`` says which columns are numbers."""

    caption: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Faithfulness:
    """What was measured of the maps."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Association:
    """What was found with clinical variables."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def read_faithfulness(run: Path) -> Faithfulness | None:
    """``RUN/faithfulness.json``; ``None`` without one."""
    return None


def read_association(run: Path) -> Association | None:
    """``RUN/association``; ``None`` without one that holds a table."""
    folder = run / ASSOCIATION
    named = {"tests.csv": "Tests over all clusters", "adjusted.csv": "Adjusted effects", "survival.csv": "Survival"}
    tables = [table for name, caption in named.items() if (table := _csv_table(folder / name, caption)) is not None]
    if not tables:
        return None
    return Association(tuple(tables), _warnings(read_tree(folder / "association.json")))


def _csv_table(path: Path, caption: str) -> Table | None:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [tuple(row) for row in csv.reader(stream)]
    except (OSError, ValueError, csv.Error):
        return None
    if len(rows) < 2:
        return None
    header, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    return table_of(caption, header, body)


def table_of(caption: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    """A table whose numbers are shown with three figures."""
    numeric = tuple(bool(body) and all(_is_number(row[c]) for row in body) for c in range(len(header)))
    shown = [
        tuple(_short(text) if number else text for text, number in zip(row, numeric, strict=True))
        for row in body[:MOST_ROWS]
    ]
    return Table(caption, tuple(header), numeric, tuple(shown), max(0, len(body) - MOST_ROWS))


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def _short(text: str) -> str:
    if not text or not isfinite(float(text)):
        return "–"
    return f"{float(text):.3g}".replace("-", "−")


def _warnings(tree: Mapping[str, Any] | None) -> tuple[str, ...]:
    found = (tree or {}).get("warnings", [])
    return tuple(str(text) for text in found) if isinstance(found, list) else ()
