"""From columns of text to variables: what is a number, what a category, and what must not be looked at.

A column of names, ids or free text would put patients into tables that are passed on. What looks like one is left out,
and so are dates; a category that only one or two cases have is put together with others of the kind.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.association.groups import present

Kind = Literal["numeric", "binary", "categorical"]

MISSING = {"", "na", "n/a", "nan", "null", "missing", "unknown", "."}
MOST_LEVELS = 20
LEAST_SHARED = 3
"""A category is named in a file only where so many cases share it."""
OTHER = "(other)"
_ID_DIGITS = 6
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|(19|20)\d\d[01]\d[0-3]\d")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_TIME = re.compile(r"[T ]\d{1,2}:\d{2}.*")


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable of the cases.

    Attributes:
        name: As the user or the cohort calls it.
        source: ``table``, ``cohort`` or ``densitometry``.
        kind: Numeric, or categorical; binary with two levels.
        values_N: Float (NaN: missing), or text (``""``: missing) unless numeric.
        order: Of a categorical variable, levels that have an order of their own.
    """

    name: str
    source: str
    kind: Kind
    values_N: NDArray[Any]
    order: tuple[str, ...] = ()

    @property
    def known(self) -> NDArray[Any]:
        """The values of the cases that have one."""
        return self.values_N[present(self.values_N)]

    @property
    def levels(self) -> tuple[str, ...]:
        """Of a categorical variable: in their own order, then alphabetical, those put together last."""
        place = {level: number for number, level in enumerate(self.order)}
        return tuple(sorted(set(self.known.tolist()), key=lambda one: (one == OTHER, place.get(one, len(place)), one)))


@dataclass(frozen=True)
class LeftOut:
    """A column that is not looked at, and why."""

    name: str
    source: str
    why: str


def typed(name: str, source: str, cells_N: Sequence[str], asked: Kind | None = None) -> tuple[Variable | None, str]:
    """A column as a variable.

    Args:
        name: Its name.
        source: Where it is from.
        cells_N: Its cells.
        asked: What the user says it is, numeric or categorical; ``None``: what it looks like.

    Returns:
        The variable, or ``None``; and what the user should know of it, else empty: for ``None``, why.
    """
    known = [cell for cell in cells_N if not is_missing(cell)]
    if not known:
        return None, "no values"
    numbers = [as_number(cell) for cell in known]
    plain = [number for number in numbers if number is not None]
    if asked == "numeric" or (asked is None and len(plain) == len(known) and len(set(plain)) > 2):
        return _as_numbers(name, source, cells_N, plain, forced=asked is not None)
    fault = "" if asked else _not_a_category(known, plain)
    if fault:
        return None, fault
    return _as_levels(name, source, cells_N)


def _as_numbers(
    name: str, source: str, cells_N: Sequence[str], plain: Sequence[float], *, forced: bool
) -> tuple[Variable | None, str]:
    if not forced and all(is_date(cell) for cell in cells_N if not is_missing(cell)):
        return None, "dates; give ages or days instead"
    long = all(number == round(number) and abs(number) >= 10 ** (_ID_DIGITS - 1) for number in plain)
    if not forced and long and len(set(plain)) == len(plain):
        return None, f"different whole numbers of {_ID_DIGITS} digits and more, which look like ids"
    numbers = [None if is_missing(cell) else as_number(cell) for cell in cells_N]
    lost = sum(number is None and not is_missing(cell) for number, cell in zip(numbers, cells_N, strict=True))
    if not plain:
        return None, "no numbers"
    values_N = np.array([np.nan if number is None else number for number in numbers])
    return Variable(name, source, "numeric", values_N), f"{lost} cells are no numbers" if lost else ""


def _as_levels(name: str, source: str, cells_N: Sequence[str]) -> tuple[Variable, str]:
    texts = ["" if is_missing(cell) else _plain_number(cell) for cell in cells_N]
    counts = Counter(text for text in texts if text)
    rare = {level for level, count in counts.items() if count < LEAST_SHARED}
    values_N = np.array([OTHER if text in rare else text for text in texts])
    kind: Kind = "binary" if len(set(values_N.tolist()) - {""}) == 2 else "categorical"
    note = f"levels of fewer than {LEAST_SHARED} cases are put together as {OTHER}: {len(rare)}" if rare else ""
    return Variable(name, source, kind, values_N), note


def _not_a_category(known: Sequence[str], plain: Sequence[float]) -> str:
    """Why a column of text is not looked at, else empty."""
    levels = len({_plain_number(cell) for cell in known})
    if sum(map(is_date, known)) > len(known) / 2:
        return "dates; give ages or days instead"
    if any(_DECIMAL_COMMA.fullmatch(cell) for cell in known) and levels > 2:
        return "numbers with a decimal comma; write a point"
    if levels > MOST_LEVELS or (levels > 2 and levels > len(known) / 2):
        some = f" ({len(plain)} of {len(known)} cells are numbers)" if plain else ""
        return f"mostly different texts, which look like names, ids or remarks{some}"
    return ""


def is_date(cell: str) -> bool:
    """Whether a cell is a day, with or without an hour."""
    return _DATE.fullmatch(_TIME.sub("", cell.strip())) is not None


def is_missing(cell: str) -> bool:
    """Whether a cell stands for no value."""
    return cell.strip().casefold() in MISSING


def as_number(cell: str) -> float | None:
    """The finite number that a cell holds, else ``None``."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _plain_number(cell: str) -> str:
    """0, 0.0 and 00 are one level; text stays as it is."""
    number = as_number(cell)
    return cell.strip() if number is None else f"{number:g}"


def type_columns(
    columns: Mapping[str, Sequence[str]], source: str, asked: Mapping[str, Kind]
) -> tuple[list[Variable], list[LeftOut], list[str]]:
    """All columns of one source: variables, what is left out, and what the user should know of the others."""
    variables, left, notes = [], [], []
    for name, cells_N in columns.items():
        variable, note = typed(name, source, cells_N, asked.get(name))
        if variable is None:
            left.append(LeftOut(name, source, note))
            continue
        variables.append(variable)
        if note:
            notes.append(f"{name}: {note}")
    return variables, left, notes
