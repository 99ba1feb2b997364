"""What other verbs wrote beside the run: the faithfulness of its maps, and its association with clinical variables.

Their pages are read as they stand, as Markdown: headings, lists, tables and one figure. So the report shows the same
sentences and numbers, and knows nothing else of how they were made.
"""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FAITHFULNESS, ASSOCIATION = "faithfulness.md", "association/association.md"
MOST_BYTES, MOST_ROWS, WIDEST_PX = 2_000_000, 100, 1400
_NUMBER = re.compile(r"[<>≤≥=~]?\s*[-−+]?[\d.]+(e[-−+]?\d+)?\s*%?(\s*[\[(/].*)?|–|nan", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: The line before it, or the heading that it stands under.
        columns: Headers.
        numeric: Which columns hold numbers.
        rows: Cells.
        more: Rows that were left out.
    """

    caption: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Part:
    """What stands under one heading.

    Attributes:
        heading: May be empty.
        paragraphs: Text.
        points: Lines of lists.
        tables: Tables.
    """

    heading: str
    paragraphs: tuple[str, ...]
    points: tuple[str, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Findings:
    """A page of another verb.

    Attributes:
        parts: What it says.
        figure: A data URI of a WebP file; empty without one.
        alt: What the figure shows.
    """

    parts: tuple[Part, ...]
    figure: str = ""
    alt: str = ""


@dataclass
class _Draft:
    heading: str
    paragraphs: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def read_findings(path: Path) -> Findings | None:
    """A page that another verb wrote; ``None`` where there is none that can be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    parts = tuple(
        Part(one.heading, tuple(one.paragraphs), tuple(one.points), tuple(one.tables))
        for one in _parts(text)
        if one.paragraphs or one.points or one.tables
    )
    shown = re.search(r"!\[([^\]]*)\]\(([\w.-]+\.png)\)", text)
    figure = _figure(path.parent / shown[2]) if shown else ""
    return Findings(parts, figure, shown[1] if shown and figure else "") if parts else None


def _parts(text: str) -> Iterator[_Draft]:
    part = _Draft("")
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.strip().splitlines()]
        while lines and lines[0].startswith("#"):
            heading = _plain(lines.pop(0).lstrip("#"))
            if part.paragraphs or part.points or part.tables:
                yield part
            part = _Draft(heading)
        if not lines:
            continue
        if all(line.startswith("|") for line in lines) and len(lines) > 2:
            part.tables.append(_table(part, lines))
        elif all(line.startswith("- ") for line in lines):
            part.points += [_plain(line[2:]) for line in lines]
        elif not lines[0].startswith("!["):
            part.paragraphs.append(_plain(" ".join(lines)))
    yield part


def _table(part: _Draft, lines: Sequence[str]) -> Table:
    """A table takes a short paragraph right before it as its caption."""
    header, _, *body = [_cells(line) for line in lines]
    rows = [row for row in body if len(row) == len(header)]
    short = bool(part.paragraphs) and len(part.paragraphs[-1]) < 80
    caption = part.paragraphs.pop() if short else part.heading
    numeric = tuple(bool(rows) and all(_NUMBER.fullmatch(row[c] or "–") for row in rows) for c in range(len(header)))
    return Table(caption, header, numeric, tuple(rows[:MOST_ROWS]), max(0, len(rows) - MOST_ROWS))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|")))


def _plain(text: str) -> str:
    """Text without the marks of Markdown that our pages use."""
    bare = re.sub(r"(?<!\\)(\*\*|`)", "", text.strip())
    spaced = re.sub(r"(?<!\\)&emsp;", "\N{EM SPACE}", bare)
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", spaced)


def _figure(path: Path) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return ""
    picture.thumbnail((WIDEST_PX, 3 * WIDEST_PX))
    packed = io.BytesIO()
    picture.save(packed, format="WEBP", quality=82, method=6)
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"
