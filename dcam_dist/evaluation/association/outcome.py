"""Time and event of a survival analysis, from the user's columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dcam_dist.errors import DataError, UsageError
from dcam_dist.evaluation.association.columns import as_number, is_missing
from dcam_dist.evaluation.association.groups import Floats
from dcam_dist.evaluation.association.identifying import is_date

TIME_NAMES = re.compile(r"(survival|follow_?up)_(days|months|years)")
EVENT_NAMES = {"death", "died", "dead", "deceased"}
HAPPENED = {"1", "yes", "y", "true", "dead", "died", "deceased", "death", "event"}
CENSORED = {"0", "no", "n", "false", "alive", "censored", "none"}
_REMEDY = "mend them, or --leave-out the column"


@dataclass(frozen=True, eq=False)
class Outcome:
    """Time and event of the cases.

    Attributes:
        time_name: The column of the times.
        event_name: That of the events.
        time_N: At least 0; NaN where missing.
        event_N: 1 with the event, 0 without; NaN where missing.
    """

    time_name: str
    event_name: str
    time_N: Floats
    event_N: Floats


def find_outcome(columns: Mapping[str, Sequence[str]], time: str | None, event: str | None) -> Outcome | None:
    """The outcome that the user names, else the one whose columns are named as usual; ``None`` without both.

    Raises:
        UsageError: When one of the two is named and the other neither named nor found, or one is not there.
        DataError: When the cells are no times, or no events.
    """
    time_name = time or next((name for name in columns if TIME_NAMES.fullmatch(name.casefold())), None)
    event_name = event or next((name for name in columns if name.casefold() in EVENT_NAMES), None)
    if time_name is None or event_name is None:
        if time or event:
            raise UsageError("a survival analysis needs both: --time COLUMN --event COLUMN")
        return None
    for name in (time_name, event_name):
        if name not in columns:
            raise UsageError(f"no column named {name!r} for the survival analysis")
    return Outcome(time_name, event_name, _times(time_name, columns[time_name]), _events(columns, event_name))


def _times(name: str, cells_N: Sequence[str]) -> Floats:
    known = [cell for cell in cells_N if not is_missing(cell)]
    if any(is_date(cell) for cell in known):
        raise DataError(
            f"column {name!r} holds dates; give the time under observation in days, or --leave-out the column"
        )
    times = [as_number(cell) for cell in known]
    bad = sum(time is None or time < 0 for time in times)
    if bad:
        raise DataError(f"column {name!r}: {bad} cells are no time (a number, 0 or more); {_REMEDY}")
    found = [np.nan if is_missing(cell) else as_number(cell) for cell in cells_N]
    return np.array(found, np.float64)


def _events(columns: Mapping[str, Sequence[str]], name: str) -> Floats:
    found = [_event(cell) for cell in columns[name]]
    bad = sum(one is None for one in found)
    if bad:
        some = "1 or 0, yes or no, true or false, dead or alive"
        known = {as_number(cell) for cell in columns[name] if not is_missing(cell)}
        coded = "write 0 for 1 and 1 for 2, if 2 is the event" if known <= {1.0, 2.0} else _REMEDY
        raise DataError(f"column {name!r}: {bad} cells are no event ({some}); {coded}")
    return np.array(found, np.float64)


def _event(cell: str) -> float | None:
    number = as_number(cell)
    text = f"{number:g}" if number is not None else cell.strip().casefold()
    if text in HAPPENED or text in CENSORED:
        return float(text in HAPPENED)
    return np.nan if is_missing(cell) else None
