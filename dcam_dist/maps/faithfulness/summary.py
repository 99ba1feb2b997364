"""Numbers over cases: median, how many, and how far it could be off; differences case by case."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from dcam_dist.maps.faithfulness.case import SCORES, CaseMeasures
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.metrics.resampling import bootstrap_interval
from dcam_dist.types import UNASSIGNED

LEAST_FOR_INTERVAL = 6
"""Of fewer cases a bootstrap interval is too narrow, and no signed-rank test can come below 5 %."""


@dataclass(frozen=True)
class Estimate:
    """A median over cases with its 95 % bootstrap interval.

    Attributes:
        n: Cases in which the number is defined.
        median: NaN where there is none.
        low: Of the interval; NaN below ``LEAST_FOR_INTERVAL`` cases.
        high: Of the interval; as ``low``.
    """

    n: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """The median of the differences case by case.

    Attributes:
        p_value: Of Wilcoxon's signed-rank test, two-sided; NaN where no case differs, or where there is no interval.
    """

    p_value: float


def estimate(values: Iterable[float], bootstrap: int, seed: int) -> Estimate:
    """Median and interval; undefined values are left out."""
    known = np.array([value for value in values if not np.isnan(value)])
    if known.size < LEAST_FOR_INTERVAL:
        median = float(np.median(known)) if known.size else float("nan")
        return Estimate(known.size, median, float("nan"), float("nan"))
    interval = bootstrap_interval(lambda some: float(np.median(known[some])), known.size, bootstrap, seed)
    return Estimate(known.size, float(np.median(known)), *interval)


def difference(first: Mapping[str, float], second: Mapping[str, float], bootstrap: int, seed: int) -> Difference:
    """First − second over the cases that both know.

    Args:
        first: By case id.
        second: By case id.
        bootstrap: Resamples.
        seed: Of the resamples.
    """
    apart = [first[case] - second[case] for case in first if case in second]
    found = estimate(apart, bootstrap, seed)
    known = [value for value in apart if not np.isnan(value)]
    tested = any(known) and len(known) >= LEAST_FOR_INTERVAL
    p_value = float(wilcoxon(known).pvalue) if tested else float("nan")
    return Difference(found.n, found.median, found.low, found.high, p_value)


def by_case(run: RunMeasures, method: str, measure: str) -> dict[str, float]:
    """One measure of one method in the reported cases."""
    return {case.case_id: case.values[method].get(measure, float("nan")) for case in run.reported}


def measured(run: RunMeasures, method: str, measure: str) -> Estimate:
    """One measure of one method over the reported cases."""
    return estimate(by_case(run, method, measure).values(), run.bootstrap, run.seed)


def measures_of(run: RunMeasures, method: str) -> tuple[str, ...]:
    """The names of what was measured of a method."""
    return tuple(dict.fromkeys(name for case in run.reported for name in case.values[method]))


def scores_of(run: RunMeasures) -> tuple[str, ...]:
    """The scores that the own map's order of the voxels was followed by: of supervised runs there is no margin."""
    known = measures_of(run, run.own)
    return tuple(score for score in SCORES if f"gap/normal/{score}" in known)


def estimates(run: RunMeasures) -> dict[str, dict[str, Estimate]]:
    """Every measure of every method over the reported cases."""
    return {method: {name: measured(run, method, name) for name in measures_of(run, method)} for method in run.methods}


def differences(
    first: RunMeasures, second: RunMeasures, methods: Sequence[str], measures: Sequence[str]
) -> dict[str, dict[str, Difference]]:
    """A run's own map minus each of the methods of a run, the same one or another on the same cases."""
    return {
        method: {
            name: difference(
                by_case(first, first.own, name), by_case(second, method, name), first.bootstrap, first.seed
            )
            for name in measures
            if name in measures_of(second, method)
        }
        for method in methods
    }


def by_grade(run: RunMeasures, value: Callable[[CaseMeasures], float]) -> dict[int, Estimate]:
    """A number over the reported cases of each grade that has any."""
    grades = sorted({case.label for case in run.reported if case.label != UNASSIGNED})
    return {
        grade: estimate((value(case) for case in run.reported if case.label == grade), run.bootstrap, run.seed)
        for grade in grades
    }


def chance_of(case: CaseMeasures, target: str) -> float:
    """The AUPRC of chance, the target's share of the lungs; NaN where it is absent, as AUPRC is."""
    return case.prevalence.get(target) or float("nan")


def over_cases(run: RunMeasures, value: Callable[[CaseMeasures], float]) -> Estimate:
    """A number over all reported cases."""
    return estimate(map(value, run.reported), run.bootstrap, run.seed)


def unordered(run: RunMeasures, method: str) -> int:
    """Reported cases in which a method's map does not vary, so that there is nothing to follow."""
    return sum(not case.curves[method] for case in run.reported if method in case.curves)


def plain(found: Estimate) -> dict[str, Any]:
    """As JSON; what is not defined is null."""
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value for name, value in asdict(found).items()
    }
