"""Which clusters differ from which."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from dcam_dist.evaluation.association.groups import Floats, Ids, Values, group_test, is_numeric, present


@dataclass(frozen=True)
class PairTest:
    """One variable in two clusters.

    Attributes:
        first: A cluster, from 0.
        second: A later one.
        test: The name of the test.
        statistic: z of Dunn's test, above 0 where the first cluster has the larger values; else as ``GroupTest``.
        p_value: Two-sided, not adjusted for the number of pairs.
        effect: ``Cliff's delta`` or ``Cramér's V``.
        size: Cliff's delta is P(first > second) − P(first < second), −1 to 1 (Cliff 1993); Cramér's V 0 to 1.
        n_first: Cases of the first with a value.
        n_second: Cases of the second.
    """

    first: int
    second: int
    test: str
    statistic: float
    p_value: float
    effect: str
    size: float
    n_first: int
    n_second: int


def pair_tests(values_N: Values, cluster_N: Ids) -> tuple[PairTest, ...]:
    """Compare a variable between each two clusters that have values.

    Numeric: Dunn's test on the ranks of all clusters, with the correction for ties (Dunn 1964). Categorical: as
    ``group_test`` of the two clusters alone; a pair in which nothing varies has no test.

    Args:
        values_N: Float (NaN: missing) or text (``""``: missing), shape (N,).
        cluster_N: Cluster ids from 0, shape (N,).
    """
    used_N = present(values_N) & (cluster_N >= 0)
    values, group_N = values_N[used_N], cluster_N[used_N]
    if len(np.unique(values)) < 2:
        return ()
    return tuple(_dunn(values, group_N) if is_numeric(values_N) else _tables(values, group_N))


def _dunn(values_N: Floats, group_N: Ids) -> Iterator[PairTest]:
    ranks_N, n = stats.rankdata(values_N), values_N.size
    ties = np.unique(values_N, return_counts=True)[1].astype(np.float64)
    variance = n * (n + 1) / 12 - float((ties**3 - ties).sum()) / (12 * (n - 1))
    for first, second in combinations(np.unique(group_N).tolist(), 2):
        one_N, two_N = group_N == first, group_N == second
        sizes = int(one_N.sum()), int(two_N.sum())
        z = float(ranks_N[one_N].mean() - ranks_N[two_N].mean()) / (variance * (1 / sizes[0] + 1 / sizes[1])) ** 0.5
        above = float(stats.mannwhitneyu(values_N[one_N], values_N[two_N], method="asymptotic").statistic)
        delta = 2 * above / (sizes[0] * sizes[1]) - 1
        yield PairTest(first, second, "Dunn", z, float(2 * stats.norm.sf(abs(z))), "Cliff's delta", delta, *sizes)


def _tables(values_N: Values, group_N: Ids) -> Iterator[PairTest]:
    for first, second in combinations(np.unique(group_N).tolist(), 2):
        both_N = (group_N == first) | (group_N == second)
        found = group_test(values_N[both_N], group_N[both_N])
        sizes = int((group_N == first).sum()), int((group_N == second).sum())
        yield PairTest(first, second, found.test, found.statistic, found.p_value, found.effect, found.size, *sizes)
