"""``cases.csv``: one row a case, read strictly enough that no typing error passes unseen."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dcam_dist.errors import DataError
from dcam_dist.ingest.csv_rows import (
    commas_hint,
    csv_rows,
    refuse_many_columns,
    refuse_other_length,
    refuse_shared_names,
)

COLUMNS = ("case_id", "image", "lung_mask", "split", "label", "patient_id")
NEAR = 0.8
"""Columns this alike (by ``difflib``) to one that the table lacks are taken for a typing error."""
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class TableRow:
    """One row, cells without surrounding blanks; empty where the table has no such column.

    Attributes:
        line: Line number in the file, from 1.
        covariates: Further columns, as name and value. Empty cells are left out, and so are columns whose name ends in
            ``_mask``: they hold paths, which have no place in a cohort.
    """

    line: int
    case_id: str
    image: str
    lung_mask: str
    split: str
    label: str
    patient_id: str
    covariates: tuple[tuple[str, str], ...]


def read_case_table(path: Path) -> tuple[TableRow, ...]:
    """Read a case table.

    The header's case and surrounding blanks do not matter, nor does a byte-order mark. Blank lines are skipped.

    Raises:
        UsageError: When there is no such file.
        DataError: A table that is not UTF-8 CSV or far too large, has no ``image`` column, an unnamed, doubled or
            misspelt column, a row of another length, an empty ``image`` cell, or one ``case_id`` twice. Names file
            and line.
    """
    lines = csv_rows(path)
    header_line, header = next(lines, (1, []))
    names = _header(path, header_line, header)
    rows = tuple(_row(path, line, names, cells) for line, cells in lines)
    if not rows:
        raise DataError(f"{path}: no cases below the header")
    _refuse_doubled_ids(path, rows)
    return rows


def _header(path: Path, line: int, header: list[str]) -> list[str]:
    refuse_many_columns(path, line, header)
    names = [name.casefold() if name.casefold() in COLUMNS else name for name in header]
    _refuse_misspelt(path, line, names)
    if "image" not in names:
        known = ", ".join(COLUMNS)
        raise DataError(f"{path}, line {line}: no column named image{commas_hint(names)}; known columns: {known}")
    refuse_shared_names(path, line, names)
    return names


def _refuse_misspelt(path: Path, line: int, names: list[str]) -> None:
    """A known column passed on as a covariate would be lost to ingest, and could name the patient in the cohort."""
    folded = {_folded(name): name for name in COLUMNS}
    lacking = [_folded(name) for name in COLUMNS if name not in names]
    for name in names:
        if name in COLUMNS or ";" in name or "\t" in name:  # the latter is a whole line with another separator
            continue
        plain = _folded(name)
        near = [plain] if plain in folded else get_close_matches(plain, lacking, n=1, cutoff=NEAR)
        if near:
            hint = f"did you mean {folded[near[0]]}? (rename it if it is a covariate)"
            raise DataError(f"{path}, line {line}: column {name[:_LONGEST_SHOWN]!r}: {hint}")


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _row(path: Path, line: int, names: list[str], cells: list[str]) -> TableRow:
    refuse_other_length(path, line, names, cells)
    by_name = dict(zip(names, cells, strict=True))
    known = {name: by_name.pop(name, "") for name in COLUMNS}
    if not known["image"]:
        raise DataError(f"{path}, line {line}: the image cell is empty")
    further = tuple((name, cell) for name, cell in by_name.items() if cell and not name.casefold().endswith("_mask"))
    return TableRow(line=line, covariates=further, **known)


def _refuse_doubled_ids(path: Path, rows: tuple[TableRow, ...]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        if row.case_id and first.setdefault(row.case_id, row.line) != row.line:
            # without the id itself, which may be a name
            raise DataError(f"{path}, line {row.line}: its case_id is also on line {first[row.case_id]}")
