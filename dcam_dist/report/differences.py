"""How clusters differ: a variable described in each, one test over all of them, and false discovery rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.association.groups import GroupSummary, GroupTest, describe, group_test, q_values
from dcam_dist.report.variables import Variable
from dcam_dist.report.words import number

SHOWN_LEVELS = 8
FEWEST_CASES, FEWEST_PER_CLASS = 20, 5
"""Below so many cases in all, or for each class, no test is believed that finds nothing."""


@dataclass(frozen=True, eq=False)
class Difference:
    """One variable over the classes.

    Attributes:
        variable: Which.
        cells: What each class has: median and quartiles; or its most frequent levels, and nothing.
        summaries: The same as numbers.
        test: Over all classes.
        q_value: Among all that are tested together; NaN without a test.
        said: The test's name, or why there is none; and that there are too few cases.
    """

    variable: Variable
    cells: tuple[tuple[str, str], ...]
    summaries: tuple[GroupSummary, ...]
    test: GroupTest
    q_value: float
    said: str


@dataclass(frozen=True)
class AgainstOthers:
    """One numeric variable of one class beside all other cases.

    Attributes:
        title: The variable, with its unit.
        own: Median and quartiles of the class.
        others: Of all other cases.
        higher: Whether the median of the class is above that of the others; ``None`` where either has no value.
    """

    title: str
    own: str
    others: str
    higher: bool | None


def too_few(cases: int, classes: int) -> bool:
    """Whether so many cases are too few for anything to be ruled out."""
    return cases < max(FEWEST_CASES, FEWEST_PER_CLASS * classes)


def differences(variables: Sequence[Variable], cluster_N: NDArray[np.int64], classes: int) -> tuple[Difference, ...]:
    """Describe and test each variable; the q-values are over all of them."""
    tests = [group_test(variable.values_N, cluster_N) for variable in variables]
    q_N = q_values(np.array([test.p_value for test in tests], dtype=np.float64))
    found = []
    for variable, test, q_value in zip(variables, tests, q_N, strict=True):
        summaries = describe(variable.shown_N, cluster_N, classes)
        cells = tuple(_parts(variable, summary) for summary in summaries)
        few = "; too few to tell" if test.test and too_few(test.n, classes) else ""
        found.append(Difference(variable, cells, summaries, test, float(q_value), (test.test or test.note) + few))
    return tuple(found)


def against_others(variable: Variable, cluster_N: NDArray[np.int64], class_id: int) -> AgainstOthers:
    """A numeric variable of one class beside the cases of all others."""
    inside_N = np.where(cluster_N < 0, cluster_N, np.where(cluster_N == class_id, 0, 1))
    own, others = describe(variable.values_N, inside_N, 2)
    title = f"{variable.title}, {variable.unit}" if variable.unit else variable.title
    known = own.n > 0 and others.n > 0
    return AgainstOthers(
        title, in_words(variable, own), in_words(variable, others), own.median > others.median if known else None
    )


def in_words(variable: Variable, summary: GroupSummary) -> str:
    """Median and quartiles, or the levels with their cases, the most frequent first; a dash for no case."""
    return " ".join(_parts(variable, summary)).strip()


def _parts(variable: Variable, summary: GroupSummary) -> tuple[str, str]:
    if not summary.n:
        return "–", ""
    if variable.numeric:
        median, low, high = (number(value, variable.digits) for value in (summary.median, summary.lower, summary.upper))
        return median, f"[{low}, {high}]"
    levels = sorted(((count, level) for level, count in summary.counts.items() if count), key=lambda pair: -pair[0])
    more = f" · {len(levels) - SHOWN_LEVELS} more" if len(levels) > SHOWN_LEVELS else ""
    return " · ".join(f"{level} {count}" for count, level in levels[:SHOWN_LEVELS]) + more, ""
