"""From columns of text to variables: what is a number, what a category, and what must not be looked at.

A column of names, ids or free text would put patients into tables that are passed on. What looks like one, or is called
like one, is left out, and so are dates; a category of only one or two patients is put together with others of the kind.
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
from dcam_dist.evaluation.association.identifying import identifies, is_date

Kind = Literal["numeric", "binary", "categorical"]

MISSING = {"", "na", "n/a", "nan", "null", "missing", "unknown", "."}
MOST_LEVELS = 20
LEAST_SHARED = 3
"""A category is named in a file only where so many patients share it, and a figure is of no fewer cases."""
OTHER = "(other)"
_DATES = "dates; give ages or days instead"
_CALLED = "called like names, ids, contacts or remarks"
_ID_DIGITS = 6
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


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


def typed(
    name: str, source: str, cells_N: Sequence[str], patient_N: Sequence[str], asked: Kind | None = None
) -> tuple[Variable | None, str]:
    """A column as a variable.

    Args:
        name: Its name.
        source: Where it is from.
        cells_N: Its cells.
        patient_N: The patient of each, by any key: what several scans of one patient share is that patient's alone.
        asked: What the user says it is, numeric or categorical; ``None``: what it looks like.

    Returns:
        The variable, or ``None``; and what the user should know of it, else empty: for ``None``, why.
    """
    known = [cell for cell in cells_N if not is_missing(cell)]
    if not known:
        return None, "no values"
    patients = len({patient for cell, patient in zip(cells_N, patient_N, strict=True) if not is_missing(cell)})
    plain = [number for number in map(as_number, known) if number is not None]
    as_numbers = asked == "numeric" or (asked is None and len(plain) == len(known) and len(set(plain)) > 2)
    fault = ""
    if not asked:
        fault = _not_numbers(name, known, plain, patients) if as_numbers else _not_a_category(name, known, patients)
    if fault:
        return None, fault
    return _as_numbers(name, source, cells_N) if as_numbers else _as_levels(name, source, cells_N, patient_N)


def _as_numbers(name: str, source: str, cells_N: Sequence[str]) -> tuple[Variable | None, str]:
    numbers = [None if is_missing(cell) else as_number(cell) for cell in cells_N]
    lost = sum(number is None and not is_missing(cell) for number, cell in zip(numbers, cells_N, strict=True))
    values_N = np.array([np.nan if number is None else number for number in numbers])
    if not np.isfinite(values_N).any():
        return None, "no numbers"
    return Variable(name, source, "numeric", values_N), f"{lost} cells are no numbers" if lost else ""


def _as_levels(name: str, source: str, cells_N: Sequence[str], patient_N: Sequence[str]) -> tuple[Variable, str]:
    texts = ["" if is_missing(cell) else _plain_number(cell) for cell in cells_N]
    pairs = set(zip(texts, patient_N, strict=True))
    patients = Counter(text for text, _ in pairs)
    rare = {level for level, count in patients.items() if level and count < LEAST_SHARED}
    shared = len({patient for text, patient in pairs if text in rare}) >= LEAST_SHARED
    values_N = np.array([(OTHER if shared else "") if text in rare else text for text in texts])
    kind: Kind = "binary" if len(set(values_N.tolist()) - {""}) == 2 else "categorical"
    if not rare:
        return Variable(name, source, kind, values_N), ""
    taken = f"put together as {OTHER}" if shared else "taken as missing, being too few together"
    return Variable(name, source, kind, values_N), f"levels of fewer than {LEAST_SHARED} patients are {taken}"


def _not_numbers(name: str, known: Sequence[str], plain: Sequence[float], patients: int) -> str:
    """Why a column of numbers is not looked at, else empty."""
    if all(map(is_date, known)):
        return _DATES
    whole = all(number == round(number) for number in plain)
    if whole and identifies(name):
        return _CALLED
    long = whole and all(abs(number) >= 10 ** (_ID_DIGITS - 1) for number in plain)
    if long and len(set(plain)) >= patients:
        return f"different whole numbers of {_ID_DIGITS} digits and more, which look like ids"
    return ""


def _not_a_category(name: str, known: Sequence[str], patients: int) -> str:
    """Why a column of text is not looked at, else empty."""
    levels = len({_plain_number(cell) for cell in known})
    if sum(map(is_date, known)) > len(known) / 2:
        return _DATES
    if any(_DECIMAL_COMMA.fullmatch(cell) for cell in known) and levels > 2:
        return "numbers with a decimal comma; write a point"
    if identifies(name):
        return _CALLED
    if levels > MOST_LEVELS or (levels > 2 and levels > patients / 2):
        plain = sum(as_number(cell) is not None for cell in known)
        some = f" ({plain} of {len(known)} cells are numbers)" if plain else ""
        return f"mostly different texts, which look like names, ids or remarks{some}"
    return ""


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
    columns: Mapping[str, Sequence[str]], source: str, patient_N: Sequence[str], asked: Mapping[str, Kind]
) -> tuple[list[Variable], list[LeftOut], list[str]]:
    """All columns of one source: variables, what is left out, and what the user should know of the others."""
    variables, left, notes = [], [], []
    for name, cells_N in columns.items():
        variable, note = typed(name, source, cells_N, patient_N, asked.get(name))
        if variable is None:
            left.append(LeftOut(name, source, f"{note}{_remedy(name, note, cells_N)}"))
            continue
        variables.append(variable)
        if note:
            notes.append(f"{name}: {note}")
    return variables, left, notes


def _remedy(name: str, why: str, cells_N: Sequence[str]) -> str:
    known = [cell for cell in cells_N if not is_missing(cell)]
    numbers = sum(as_number(cell) is not None for cell in known)
    if why == _CALLED:
        return f"; {'--numeric' if numbers == len(known) else '--categorical'} {name} looks at it all the same"
    return f"; --numeric {name} takes these" if len(known) > numbers > len(known) / 2 else ""
