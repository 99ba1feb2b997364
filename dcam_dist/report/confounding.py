"""Whether clusters are scanners: how far they go with kernel, manufacturer and spacing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dcam_dist.report.acquisition import ESSENTIAL, role_of, shared_levels
from dcam_dist.report.differences import Difference, differences, too_few
from dcam_dist.report.variables import Variable
from dcam_dist.report.words import listed, p_in_words, percent

STRONG, WEAK = 0.5, 0.3
"""Cramér's V from which on clusters go with a variable strongly, or noticeably."""
STRONG_RANKS, WEAK_RANKS = 0.26, 0.08
"""The same of ε², the share of the variance of ranks."""
P_VALUE = 0.05
SHOWN_LEVELS = 8
PURE_SHARE = 0.9
PURE_CASES = 4


@dataclass(frozen=True)
class PureCluster:
    """A class nearly all of whose cases share one value that is rarer among the others.

    Attributes:
        class_id: 0-based.
        variable: Which variable.
        value: Its value.
        share: Of the class.
        elsewhere: Of the other cases.
    """

    class_id: int
    variable: str
    value: str
    share: float
    elsewhere: float


@dataclass(frozen=True, eq=False)
class CrossTable:
    """Cases of each class and level.

    Attributes:
        title: The variable.
        levels: Its levels, the most frequent first; rarer ones are one.
        counts_KL: Cases.
    """

    title: str
    levels: tuple[str, ...]
    counts_KL: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Confounding:
    """How far the clusters go with the acquisition.

    Attributes:
        verdict: ``strong``, ``some``, ``unclear`` (large, but chance may do as much), ``none``, or what leaves it open:
            ``few`` cases, or ``unknown`` acquisition.
        sentence: The same in words.
        tests: Each variable over the classes.
        tables: Categorical variables by class.
        pure: Classes that are one value.
    """

    verdict: str
    sentence: str
    tests: tuple[Difference, ...]
    tables: tuple[CrossTable, ...]
    pure: tuple[PureCluster, ...]


def confounding(
    acquisition: Sequence[Variable], cluster_N: NDArray[np.int64], titles: Sequence[str], kind: str
) -> Confounding:
    """Look at every variable of the acquisition.

    Args:
        acquisition: The variables.
        cluster_N: Class of each case; negative: none.
        titles: What the classes are called.
        kind: ``cluster`` or ``grade``.
    """
    tests = differences(acquisition, cluster_N, len(titles))
    categories = [variable for variable in acquisition if not variable.numeric]
    tables = tuple(cross_table(variable, cluster_N, len(titles)) for variable in categories)
    pure = tuple(found for variable in categories for found in pure_clusters(variable, cluster_N, len(titles)))
    verdict, sentence = _judged(tests, pure, cluster_N, titles, kind)
    return Confounding(verdict, sentence, tests, tables, pure)


def _judged(
    tests: Sequence[Difference],
    pure: Sequence[PureCluster],
    cluster_N: NDArray[np.int64],
    titles: Sequence[str],
    kind: str,
) -> tuple[str, str]:
    """What is said. The p-value raises the alarm: among many variables q would silence the one that matters."""
    tested = [test for test in tests if np.isfinite(test.test.p_value)]
    large = [test for test in tested if test.test.size >= _bound(test, WEAK, WEAK_RANKS)]
    sure = [test for test in large if test.test.p_value < P_VALUE]
    strong = [test for test in sure if test.test.size >= _bound(test, STRONG, STRONG_RANKS)]
    if strong or pure:
        return "strong", _in_words(strong, pure, titles, kind)
    if sure:
        return "some", _some_in_words(sure, kind)
    cases = max((test.test.n for test in tests), default=0)
    missing = [name for name in ESSENTIAL if not _known(name, tests, int((cluster_N >= 0).sum()))]
    if missing:
        return "unknown", _unknown_in_words(missing, large, kind)
    if too_few(cases, len(titles)):
        return "few", f"Too few to tell: in {cases} cases of {len(titles)} {kind}s even a strong link can go unseen."
    if large:
        return "unclear", _unclear_in_words(large, kind)
    return "none", _none_in_words(tested, kind, cases)


def _known(name: str, tests: Sequence[Difference], cases: int) -> bool:
    """Whether most cases say it, tested or all alike."""
    return any(role_of(test.variable.title) == name and 2 * test.test.n > cases for test in tests)


def cross_table(variable: Variable, cluster_N: NDArray[np.int64], classes: int) -> CrossTable:
    """Cases by class and level."""
    shown_N = shared_levels(variable.values_N)
    given = [str(value) for value, k in zip(shown_N, cluster_N, strict=True) if value and k >= 0]
    ordered = [level for level, _ in sorted(Counter(given).items(), key=lambda item: (-item[1], item[0]))]
    kept = ordered if len(ordered) <= SHOWN_LEVELS else ordered[: SHOWN_LEVELS - 1]
    place = {level: column for column, level in enumerate(kept)}
    counts_KL = np.zeros((classes, len(kept) + (len(kept) < len(ordered))), dtype=np.int64)
    for value, k in zip(shown_N, cluster_N, strict=True):
        if value and k >= 0:
            counts_KL[k, place.get(str(value), len(kept))] += 1
    rest = (f"{len(ordered) - len(kept)} others",) if len(kept) < len(ordered) else ()
    return CrossTable(variable.title, (*kept, *rest), counts_KL)


def pure_clusters(variable: Variable, cluster_N: NDArray[np.int64], classes: int) -> list[PureCluster]:
    """Classes of at least ``PURE_CASES`` cases, ``PURE_SHARE`` of which share one value, by more than chance.

    Chance is the hypergeometric tail of drawing the class from all cases, times the classes that are looked at.
    """
    known_N = (variable.values_N != "") & (cluster_N >= 0)
    values_N, of_N = variable.values_N[known_N], cluster_N[known_N]
    found = []
    for class_id in range(classes):
        inside = values_N[of_N == class_id]
        if len(inside) < PURE_CASES:
            continue
        value, count = Counter(inside.tolist()).most_common(1)[0]
        everywhere, others = int((values_N == value).sum()), len(values_N) - len(inside)
        chance = float(stats.hypergeom.sf(count - 1, len(values_N), everywhere, len(inside)))
        if others and count >= PURE_SHARE * len(inside) and chance * classes < P_VALUE:
            elsewhere = (everywhere - count) / others
            found.append(PureCluster(class_id, variable.title, str(value), count / len(inside), elsewhere))
    return found


def _bound(found: Difference, of_table: float, of_ranks: float) -> float:
    return of_ranks if found.variable.numeric else of_table


def _named(tests: Sequence[Difference]) -> str:
    ordered = sorted(tests, key=lambda found: -found.test.size)
    return ", ".join(
        f"{found.variable.title} ({found.test.effect} {found.test.size:.2f}, p {p_in_words(found.test.p_value)})"
        for found in ordered
    )


def _in_words(strong: Sequence[Difference], pure: Sequence[PureCluster], titles: Sequence[str], kind: str) -> str:
    parts = []
    if strong:
        parts.append(f"Confounded: {kind}s go with {_named(strong)}.")
    parts += [
        f"{titles[one.class_id].capitalize()} is nearly all {one.variable} {one.value} ({percent(one.share)}, "
        f"elsewhere {percent(one.elsewhere)})."
        for one in pure
    ]
    parts.append(f"Before a {kind} is called a subtype, compare within one kernel and scanner.")
    return " ".join(parts)


def _some_in_words(weak: Sequence[Difference], kind: str) -> str:
    return f"Partly: {kind}s go with {_named(weak)}; adjust for it, or compare within one kernel and scanner."


def _unclear_in_words(large: Sequence[Difference], kind: str) -> str:
    return (
        f"It cannot be excluded: {kind}s differ in {_named(large)}. Chance may do as much in so few cases, and so may "
        "a scanner."
    )


def _unknown_in_words(missing: Sequence[str], large: Sequence[Difference], kind: str) -> str:
    beside = f" {kind.capitalize()}s may differ in {_named(large)}." if large else ""
    return (
        f"Not known: the cohort does not say {listed(list(missing))} of most cases, so nothing here can tell a subtype "
        f"from a scanner.{beside}"
    )


def _none_in_words(tested: Sequence[Difference], kind: str, cases: int) -> str:
    if not tested:
        return f"No sign of it: all {cases} cases were scanned alike in everything that is known."
    largest = max(tested, key=lambda found: found.test.size)
    return (
        f"No sign of it: none of {len(tested)} variables differs between {kind}s (largest: {largest.variable.title}, "
        f"{largest.test.effect} {largest.test.size:.2f}, p {p_in_words(largest.test.p_value)}). In {cases} cases a "
        "difference can also go unseen."
    )
