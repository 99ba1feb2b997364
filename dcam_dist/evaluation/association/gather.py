"""All variables of the cases of a run: of the user's table, of the cohort, and densitometry."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np

from dcam_dist.errors import UsageError
from dcam_dist.evaluation.association.columns import Kind, LeftOut, Variable, type_columns
from dcam_dist.evaluation.association.outcome import Outcome, find_outcome
from dcam_dist.metrics import DENSITOMETRY_FIELDS
from dcam_dist.types import UNASSIGNED, CaseRecord

GRADE = "grade"
QUASI_CONSTANT = 0.95


@dataclass(frozen=True)
class Asked:
    """What the user says of columns.

    Attributes:
        adjust: Covariates of the models; several of one entry may be parted by commas.
        time: Column of the time under observation.
        event: Column of whether it ended with the event.
        numeric: Columns that are numbers.
        categorical: Columns that are categories.
        leave_out: Columns that are not looked at.
    """

    adjust: tuple[str, ...] = ()
    time: str | None = None
    event: str | None = None
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Gathered:
    """What the clusters are compared in.

    Attributes:
        variables: In the order of the table, the cohort's columns and densitometry.
        adjust: Those of them that models are adjusted for.
        outcome: Of a survival analysis, if any.
        left_out: Columns that are not looked at.
        notes: What the user should know of the others.
    """

    variables: tuple[Variable, ...]
    adjust: tuple[Variable, ...]
    outcome: Outcome | None
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = field(default=())


def gather(
    records: Sequence[CaseRecord],
    label_names: Sequence[str],
    table: Mapping[str, Sequence[str]],
    asked: Asked,
) -> Gathered:
    """Type all columns, and find among them what the user asks for.

    A column of the table takes the place of one of the cohort with the same name.

    Args:
        records: The cases.
        label_names: The cohort's grades.
        table: The user's columns, a cell a case.
        asked: What the user says of them.

    Raises:
        UsageError: When a column that the user names is not there, or cannot be adjusted for.
        DataError: When the columns of the survival analysis hold something else.
    """
    taken = {name.casefold() for name in table}
    own = {name: cells for name, cells in _cohort_columns(records, label_names).items() if name.casefold() not in taken}
    _check_names(asked, [*table, *own, *DENSITOMETRY_FIELDS])
    dropped = set(asked.leave_out)
    every = {name: cells for name, cells in {**own, **table}.items() if name not in dropped}
    outcome = find_outcome(every, asked.time, asked.event)
    dropped |= {outcome.time_name, outcome.event_name} if outcome else set()
    kinds: dict[str, Kind] = dict.fromkeys(asked.numeric, "numeric")
    kinds |= dict.fromkeys(asked.categorical, "categorical")
    variables: list[Variable] = []
    left = [LeftOut(name, "", "as asked") for name in asked.leave_out]
    notes: list[str] = []
    patient_N = [record.patient_key for record in records]
    for source, columns in (("table", table), ("cohort", own)):
        kept = {name: cells for name, cells in columns.items() if name not in dropped}
        found, not_used, said = type_columns(kept, source, patient_N, kinds)
        variables, left, notes = [*variables, *found], [*left, *not_used], [*notes, *said]
    variables = [replace(one, order=tuple(label_names)) if one.name == GRADE else one for one in variables]
    measured, lacking = _densitometry(records, dropped | set(table) | set(own))
    variables += measured
    notes += [*_quasi_constant(variables), *lacking]
    return Gathered(tuple(variables), _adjust(asked.adjust, variables, left), outcome, tuple(left), tuple(notes))


def _cohort_columns(records: Sequence[CaseRecord], label_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    names = sorted({name for record in records for name in record.covariates})
    columns = {name: tuple(record.covariates.get(name, "") for record in records) for name in names}
    grades = tuple("" if record.label == UNASSIGNED else label_names[record.label] for record in records)
    return {**columns, GRADE: grades} if any(grades) and GRADE not in columns else columns


def _densitometry(records: Sequence[CaseRecord], dropped: set[str]) -> tuple[list[Variable], list[str]]:
    found, lacking = [], []
    for name in DENSITOMETRY_FIELDS:
        values_N = np.array([record.densitometry.get(name, np.nan) for record in records], np.float64)
        if not np.isfinite(values_N).any():
            lacking.append(name)
        elif name not in dropped:
            found.append(Variable(name, "densitometry", "numeric", values_N))
    some = f"not measured in any case (an older version?): {', '.join(lacking)}"
    return found, [some] if lacking else []


def _quasi_constant(variables: Sequence[Variable]) -> list[str]:
    notes = []
    for variable in variables:
        known = variable.known.tolist()
        most = max(Counter(known).values(), default=0)
        if len(known) > most >= QUASI_CONSTANT * len(known):
            notes.append(f"{variable.name}: {round(100 * QUASI_CONSTANT)} % or more of the cases have one value")
    return notes


def _check_names(asked: Asked, known: Sequence[str]) -> None:
    options = {
        "--numeric": asked.numeric,
        "--categorical": asked.categorical,
        "--leave-out": asked.leave_out,
        "--adjust": split_names(asked.adjust, known),
        "--time": (asked.time,) if asked.time else (),
        "--event": (asked.event,) if asked.event else (),
    }
    for option, names in options.items():
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "neither the table nor the cohort has it"
                raise UsageError(f"{option} {name}: no such column; {hint}")


def split_names(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names that are parted by commas, but for a column whose name has one."""
    found: list[str] = []
    for name in names:
        found += [name] if name in known else [part.strip() for part in name.split(",")]
    return tuple(dict.fromkeys(found))


def _adjust(names: Sequence[str], variables: Sequence[Variable], left: Sequence[LeftOut]) -> tuple[Variable, ...]:
    by_name = {variable.name: variable for variable in variables}
    why = {one.name: one.why for one in left}
    wanted = split_names(names, [*by_name, *why])
    for name in wanted:
        if name not in by_name:
            raise UsageError(f"--adjust {name}: cannot be adjusted for ({why.get(name, 'it is the survival outcome')})")
        if len(set(by_name[name].known.tolist())) < 2:
            raise UsageError(f"--adjust {name}: has one value in all cases, so there is nothing to adjust for")
    return tuple(by_name[name] for name in wanted)
