"""The user's table of clinical variables, joined with the cohort's cases by the id that the user knows them by.

Ids of the table are matched and forgotten: no line says one, for it may be a patient's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dcam_dist.cohort import Cohort
from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest.csv_rows import (
    commas_hint,
    csv_rows,
    refuse_many_columns,
    refuse_other_length,
    refuse_shared_names,
)
from dcam_dist.ingest.lookup import fitting_cases

ID_COLUMNS = ("case_id", "patient_id")
"""Where the ids are looked for without ``--id``."""


@dataclass(frozen=True)
class JoinCounts:
    """What became of the rows of the table and of the cases.

    Attributes:
        rows: Rows of the table.
        matched: Rows that were joined with a case.
        unmatched: Rows whose id fits no case of the cohort.
        ambiguous: Rows whose id fits several cases.
        doubled: Rows whose case another row names too; none of these is used.
        elsewhere: Rows of a case of the cohort that has no cluster.
        without_row: Cases with a cluster and without a row.
    """

    rows: int
    matched: int
    unmatched: int
    ambiguous: int
    doubled: int
    elsewhere: int
    without_row: int

    def line(self) -> str:
        """All of it in one line."""
        parts = {
            "fit no case": self.unmatched,
            "fit several cases": self.ambiguous,
            "name a case that another row names too": self.doubled,
            "are of cases without a cluster": self.elsewhere,
        }
        left = "".join(f", {count} {what}" for what, count in parts.items() if count)
        return f"{self.rows} rows, {self.matched} matched{left}; {self.without_row} cases without a row"


@dataclass(frozen=True)
class ClinicalTable:
    """The table's columns beside the id, each with a cell for every case; ``""`` where there is none."""

    columns: Mapping[str, tuple[str, ...]]
    counts: JoinCounts


def read_clinical_table(path: Path, cohort: Cohort, case_id_N: Sequence[str], id_column: str | None) -> ClinicalTable:
    """Read a table and put its rows beside cases.

    Args:
        path: CSV in UTF-8 with a header.
        cohort: Whose cases they are.
        case_id_N: The cases, in the order wanted.
        id_column: The column that holds the cohort's ids, those of its case table or PatientIDs; ``None``: the first
            of ``ID_COLUMNS`` that is there.

    Raises:
        UsageError: When there is no such file or no such column.
        DataError: A table that is no CSV in UTF-8, has an unnamed or doubled column or a row of another length, or none
            of whose rows fits a case. Names file and line.
    """
    rows = csv_rows(path)
    header_line, names = next(rows, (1, []))
    refuse_many_columns(path, header_line, names)
    refuse_shared_names(path, header_line, names)
    at = _id_place(path, names, id_column)
    lines = list(rows)
    for line, cells in lines:
        refuse_other_length(path, line, names, cells)
    fitting = fitting_cases(cohort, [cells[at] for _, cells in lines])
    wanted = set(case_id_N)
    named = Counter(fit[0] for fit in fitting if len(fit) == 1)
    row_of = {
        fit[0]: cells
        for (_, cells), fit in zip(lines, fitting, strict=True)
        if len(fit) == 1 and named[fit[0]] == 1 and fit[0] in wanted
    }
    counts = JoinCounts(
        rows=len(lines),
        matched=len(row_of),
        unmatched=sum(not fit for fit in fitting),
        ambiguous=sum(len(fit) > 1 for fit in fitting),
        doubled=sum(count for count in named.values() if count > 1),
        elsewhere=sum(count == 1 and case_id not in wanted for case_id, count in named.items()),
        without_row=len(wanted) - len(row_of),
    )
    if not row_of:
        raise DataError(f"{path}: no row can be joined by column {names[at]!r}: {counts.line()}")
    columns = {
        name: tuple(row_of[case_id][place] if case_id in row_of else "" for case_id in case_id_N)
        for place, name in enumerate(names)
        if place != at
    }
    return ClinicalTable(columns, counts)


def _id_place(path: Path, names: Sequence[str], id_column: str | None) -> int:
    folded = [name.casefold() for name in names]
    for name in ID_COLUMNS if id_column is None else (id_column.casefold(),):
        if name in folded:
            return folded.index(name)
    if id_column is None:
        wanted = " or ".join(ID_COLUMNS)
        raise UsageError(f"{path}: no column named {wanted}; say which holds the ids: --id COLUMN{commas_hint(names)}")
    near = get_close_matches(id_column, names, n=1)
    raise UsageError(f"{path}: no column named {id_column!r}{f'; did you mean {near[0]!r}?' if near else ''}")
