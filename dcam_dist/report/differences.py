"""How clusters differ: a variable described in each, one test over all of them, and false discovery rates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.association.columns import LEAST_SHARED
from dcam_dist.evaluation.association.groups import GroupSummary, GroupTest, describe, group_test, q_values
from dcam_dist.report.variables import Variable, Variables
from dcam_dist.report.words import number

SHOWN_LEVELS = 8
NOTHING = "–"
FEWEST_CASES, FEWEST_PER_CLASS = 20, 5
"""Below so many cases in all, or for each class, no test is believed that finds nothing."""


@dataclass(frozen=True, eq=False)
class Difference:
    """One variable over the classes.

    Attributes:
        variable: Which.
        cells: What each class has: median and quartiles; or its most frequent levels, and nothing.
        test: Over all classes.
        q_value: Among all that are tested together; NaN without a test.
        said: The test's name, or why there is none; and that there are too few cases.
    """

    variable: Variable
    cells: tuple[tuple[str, str], ...]
    test: GroupTest
    q_value: float
    said: str


@dataclass(frozen=True)
class AgainstOthers:
    """One variable of one class beside all other cases.

    Attributes:
        title: The variable, with its unit.
        own: Median and quartiles of the class, or its levels.
        others: Of all other cases.
        side: 1, 0 or −1: the median of the class is above that of the others, the same, or below; ``None`` of levels,
            and where either is not shown.
        q_value: Of the variable over all classes.
    """

    title: str
    own: str
    others: str
    side: int | None
    q_value: float


def too_few(cases: int, classes: int) -> bool:
    """Whether so many cases are too few for anything to be ruled out."""
    return cases < max(FEWEST_CASES, FEWEST_PER_CLASS * classes)


def differences(variables: Sequence[Variable], cluster_N: NDArray[np.int64], classes: int) -> tuple[Difference, ...]:
    """Describe and test each variable; the q-values are over all of them."""
    tests = [group_test(variable.values_N, cluster_N) for variable in variables]
    q_N = q_values(np.array([test.p_value for test in tests], dtype=np.float64))
    found = []
    for variable, test, q_value in zip(variables, tests, q_N, strict=True):
        cells = tuple(_parts(variable, summary) for summary in describe(variable.shown_N, cluster_N, classes))
        few = "; too few to tell" if test.test and too_few(test.n, classes) else ""
        found.append(Difference(variable, cells, test, float(q_value), (test.test or test.note) + few))
    return tuple(found)


def by_source(variables: Variables, cluster_N: NDArray[np.int64], classes: int) -> tuple[Difference, ...]:
    """Densitometry and covariates, each a family of its own.

    Densitometry is of the scans that the clusters were made of: among its many sure findings, a covariate would have
    too small a rate.
    """
    families = (variables.densitometry, variables.covariates)
    return tuple(one for family in families for one in differences(family, cluster_N, classes))


def against_others(found: Difference, cluster_N: NDArray[np.int64], class_id: int) -> AgainstOthers:
    """A variable of one class beside the cases of all others."""
    variable = found.variable
    inside_N = np.where(cluster_N < 0, cluster_N, np.where(cluster_N == class_id, 0, 1))
    own, others = describe(variable.shown_N, inside_N, 2)
    title = f"{variable.title}, {variable.unit}" if variable.unit else variable.title
    here, there = (" ".join(_parts(variable, summary)).strip() for summary in (own, others))
    side = int(np.sign(own.median - others.median)) if variable.numeric and NOTHING not in (here, there) else None
    return AgainstOthers(title, here, there, side, found.q_value)


def _parts(variable: Variable, summary: GroupSummary) -> tuple[str, str]:
    if summary.n < (LEAST_SHARED if variable.of_patient else 1):
        return NOTHING, ""
    if variable.numeric:
        median, low, high = (number(value, variable.digits) for value in (summary.median, summary.lower, summary.upper))
        return median, f"[{low}, {high}]"
    levels = sorted(((count, level) for level, count in summary.counts.items() if count), key=lambda pair: -pair[0])
    more = f" · {len(levels) - SHOWN_LEVELS} more" if len(levels) > SHOWN_LEVELS else ""
    return " · ".join(f"{level} {count}" for count, level in levels[:SHOWN_LEVELS]) + more, ""
