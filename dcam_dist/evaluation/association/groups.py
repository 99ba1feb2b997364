"""How one variable differs between clusters: description, one test over all clusters, and false discovery rates.

A variable is an array with one value a case: float with NaN where it is missing, or text with ``""`` where it is
missing. Clusters count from 0; a negative id (``UNASSIGNED``) takes a case out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Values = NDArray[Any]

DRAWS = 9999
"""Random draws of a permutation test: no p-value can be below 1/10000."""
FEW = 5
"""Below so many cases in a cluster, or expected in a cell, the chi-square approximation is not trusted."""
_CHUNK = 1 << 22
SEED = 1952
"""Of all random draws, so that the same data have the same p."""


@dataclass(frozen=True)
class GroupSummary:
    """One variable in one cluster.

    Attributes:
        cluster: The cluster, from 0.
        n: Cases with a value.
        missing: Cases of the cluster without one.
        median: Of a numeric variable, else NaN; so are the next four.
        lower: The 25th percentile.
        upper: The 75th percentile.
        mean: The mean.
        sd: Sample standard deviation; NaN below two cases.
        counts: Of a categorical variable, the cases of each level that any case has, in alphabetical order.
    """

    cluster: int
    n: int
    missing: int
    median: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    mean: float = np.nan
    sd: float = np.nan
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupTest:
    """One test of one variable over the clusters.

    Attributes:
        test: Its name, empty where none could be made.
        statistic: H or chi-square; the odds ratio of Fisher's test.
        df: Degrees of freedom of H or chi-square; NaN of Fisher's test.
        p_value: Two-sided; NaN where no test could be made.
        effect: ``epsilon²`` or ``Cramér's V``.
        size: The effect, 0 to 1.
        n: Cases with a value, in clusters.
        note: Why there is no test, else empty.
    """

    test: str
    statistic: float
    df: float
    p_value: float
    effect: str
    size: float
    n: int
    note: str = ""


def is_numeric(values_N: Values) -> bool:
    """Whether a variable is numeric; text is categorical."""
    return values_N.dtype.kind == "f"


def present(values_N: Values) -> NDArray[np.bool_]:
    """Whether each case has a value."""
    return np.isfinite(values_N) if is_numeric(values_N) else values_N != ""


def describe(values_N: Values, cluster_N: Ids, clusters: int) -> tuple[GroupSummary, ...]:
    """Describe a variable in each cluster.

    Args:
        values_N: Float (NaN: missing) or text (``""``: missing), shape (N,).
        cluster_N: Cluster ids from 0, shape (N,).
        clusters: How many there are; an empty one has a summary too, with n = 0.
    """
    here_N = present(values_N)
    levels = [] if is_numeric(values_N) else sorted(set(values_N[here_N & (cluster_N >= 0)].tolist()))
    found = []
    for cluster in range(clusters):
        inside_N = cluster_N == cluster
        of_cluster = values_N[inside_N & here_N]
        missing = int(inside_N.sum()) - of_cluster.size
        if is_numeric(values_N):
            found.append(_numeric(cluster, of_cluster, missing))
        else:
            counts = {level: int((of_cluster == level).sum()) for level in levels}
            found.append(GroupSummary(cluster, of_cluster.size, missing, counts=counts))
    return tuple(found)


def _numeric(cluster: int, of_cluster: Floats, missing: int) -> GroupSummary:
    if not of_cluster.size:
        return GroupSummary(cluster, 0, missing)
    lower, median, upper = (float(value) for value in np.percentile(of_cluster, (25, 50, 75)))
    sd = float(of_cluster.std(ddof=1)) if of_cluster.size > 1 else np.nan
    return GroupSummary(cluster, of_cluster.size, missing, median, lower, upper, float(of_cluster.mean()), sd)


def group_test(values_N: Values, cluster_N: Ids) -> GroupTest:
    """Test whether a variable differs between the clusters.

    Numeric: Kruskal-Wallis with the correction for ties (Kruskal & Wallis 1952) and epsilon² = H / (n − 1) (Tomczak &
    Tomczak 2014). Where a cluster has fewer than ``FEW`` values, p is from random permutations.
    Categorical: Pearson's chi-square and Cramér's V = √(χ² / (n · (min(rows, columns) − 1))). Where an expected count
    is below ``FEW``, p is Fisher's for 2 × 2, else from random tables of the same margins (Patefield 1981).
    Clusters without a value do not take part. The draws come from a fixed seed.

    Args:
        values_N: Float (NaN: missing) or text (``""``: missing), shape (N,).
        cluster_N: Cluster ids from 0, shape (N,).
    """
    used_N = present(values_N) & (cluster_N >= 0)
    values, group_N = values_N[used_N], np.unique(cluster_N[used_N], return_inverse=True)[1]
    numeric = is_numeric(values_N)
    note = "no values" if not values.size else "constant" if len(np.unique(values)) < 2 else ""
    if not note and group_N.max() == 0:
        note = "values in one cluster only"
    if note:
        effect = "epsilon²" if numeric else "Cramér's V"
        return GroupTest("", np.nan, np.nan, np.nan, effect, np.nan, values.size, note)
    return _kruskal_wallis(values, group_N) if numeric else _contingency(values, group_N)


def _kruskal_wallis(values_N: Floats, group_N: Ids) -> GroupTest:
    ranks_N = stats.rankdata(values_N)
    sizes_K = np.bincount(group_N)
    h = float(kruskal_wallis_h(ranks_N[None], group_N)[0])
    df = len(sizes_K) - 1
    n = values_N.size
    few = sizes_K.min() < FEW
    p = _permuted(ranks_N, group_N, h) if few else float(stats.chi2.sf(h, df))
    name = "Kruskal-Wallis, permuted" if few else "Kruskal-Wallis"
    return GroupTest(name, h, df, p, "epsilon²", min(1.0, h / (n - 1)), n)


def kruskal_wallis_h(ranks_RN: Floats, group_N: Ids) -> Floats:
    """H with the correction for ties, of several orders of one set of ranks, shape (R, N), and no empty group."""
    n = group_N.size
    sizes_K = np.bincount(group_N)
    member_NK = np.eye(len(sizes_K))[group_N]
    between_R = ((ranks_RN @ member_NK) ** 2 / sizes_K).sum(axis=1)
    ties = np.unique(ranks_RN[0], return_counts=True)[1].astype(np.float64)
    corrected = 1 - float((ties**3 - ties).sum()) / (n**3 - n)
    return np.asarray((12 / (n * (n + 1)) * between_R - 3 * (n + 1)) / corrected, np.float64)


def _permuted(ranks_N: Floats, group_N: Ids, observed: float) -> float:
    return permutation_p(observed, ranks_N, lambda ranks_RN: kruskal_wallis_h(ranks_RN, group_N), ranks_N.size)


def permutation_p(observed: float, values_N: Values, statistics: Callable[[Values], Floats], size: int) -> float:
    """P of a statistic by ``DRAWS`` random orders of the values.

    Args:
        observed: The statistic of the values as they are.
        values_N: What is put in other orders.
        statistics: Gives the statistic of each row of (R, N) orders, shape (R,).
        size: How many numbers it holds at once for each row: so many rows are drawn together as memory allows.
    """
    rng, drawn, left = np.random.default_rng(SEED), [], DRAWS
    while left:
        rows = min(left, max(1, _CHUNK // size))
        drawn.append(statistics(rng.permuted(np.tile(values_N, (rows, 1)), axis=1)))
        left -= rows
    return _share_at_least(observed, np.concatenate(drawn))


def _share_at_least(observed: float, drawn_R: Floats) -> float:
    """P of a permutation test: how many statistics, its own among them, are as large as the one observed."""
    return (1 + int((drawn_R >= observed - 1e-9 * max(1.0, observed)).sum())) / (1 + drawn_R.size)


def _contingency(values_N: Values, group_N: Ids) -> GroupTest:
    level_N = np.unique(values_N, return_inverse=True)[1]
    table_KL = np.zeros((group_N.max() + 1, level_N.max() + 1), np.int64)
    np.add.at(table_KL, (group_N, level_N), 1)
    expected_KL = _expected(table_KL)
    chi2 = float(((table_KL - expected_KL) ** 2 / expected_KL).sum())
    n, smaller = values_N.size, min(table_KL.shape) - 1
    size = min(1.0, (chi2 / (n * smaller)) ** 0.5)
    df = (table_KL.shape[0] - 1) * (table_KL.shape[1] - 1)
    if expected_KL.min() >= FEW:
        return GroupTest("chi-square", chi2, df, float(stats.chi2.sf(chi2, df)), "Cramér's V", size, n)
    if table_KL.shape == (2, 2):
        odds, p = stats.fisher_exact(table_KL)
        return GroupTest("Fisher", float(odds), np.nan, float(p), "Cramér's V", size, n)
    return GroupTest("chi-square, permuted", chi2, df, _drawn(table_KL, chi2), "Cramér's V", size, n)


def _expected(table_KL: NDArray[Any]) -> Floats:
    return np.asarray(np.outer(table_KL.sum(axis=1), table_KL.sum(axis=0)) / table_KL.sum(), np.float64)


def _drawn(table_KL: Ids, observed: float) -> float:
    expected_KL = _expected(table_KL)
    drawn_RKL = stats.random_table.rvs(
        table_KL.sum(axis=1), table_KL.sum(axis=0), size=DRAWS, random_state=np.random.default_rng(SEED)
    )
    chi2_R = ((drawn_RKL - expected_KL) ** 2 / expected_KL).sum(axis=(1, 2))
    return _share_at_least(observed, chi2_R)


def q_values(p_N: Floats) -> Floats:
    """False discovery rates by Benjamini & Hochberg (1995).

    Args:
        p_N: p-values; NaN where there is none, which stays NaN and does not count as a test.

    Returns:
        For each test the smallest rate at which it is among the findings, shape (N,).
    """
    found_N = np.full(len(p_N), np.nan)
    known_N = np.isfinite(p_N)
    if known_N.any():
        found_N[known_N] = stats.false_discovery_control(np.asarray(p_N, np.float64)[known_N])
    return found_N


def family_q_values(p_N: Floats, family_N: Sequence[str]) -> Floats:
    """``q_values`` of each family by itself.

    A family is what is one question: many sure findings of one would lend others a rate that does not hold for them.

    Args:
        p_N: p-values, shape (N,).
        family_N: The family of each.
    """
    found_N, families_N = np.full(len(p_N), np.nan), np.array(family_N, np.str_)
    for family in set(family_N):
        found_N[families_N == family] = q_values(p_N[families_N == family])
    return found_N
