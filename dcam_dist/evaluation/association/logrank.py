"""The log-rank test of several groups, with p from chi-square or, where a group is small, from permutations."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dcam_dist.evaluation.association.groups import Floats, Ids, permutation_p

LEAST_ASYMPTOTIC = 10
"""With fewer cases in a group p is from permutations: chi-square finds differences there that are none."""


def log_rank(time_N: Floats, event_N: Floats, group_N: Ids) -> tuple[float, float, bool]:
    """Statistic, p, and whether it is from permutations, which take censoring to be alike in all groups.

    Args:
        time_N: Time under observation.
        event_N: 1 with the event, 0 without; one event at least.
        group_N: Groups from 0, none of them empty and two at least.
    """
    order_N = np.argsort(-time_N, kind="stable")
    time_N, event_N, group_N = time_N[order_N], event_N[order_N], group_N[order_N]
    observed = float(log_rank_statistics(time_N, event_N, group_N[None])[0])
    groups = int(group_N.max()) + 1
    if np.bincount(group_N).min() >= LEAST_ASYMPTOTIC:
        return observed, float(stats.chi2.sf(observed, groups - 1)), False

    def statistics(group_RN: Ids) -> Floats:
        return log_rank_statistics(time_N, event_N, group_RN)

    return observed, permutation_p(observed, group_N, statistics, group_N.size * groups), True


def log_rank_statistics(time_N: Floats, event_N: Floats, group_RN: Ids) -> Floats:
    """The statistic under several groupings R of the same cases, the longest time first; ties by hypergeometry.

    It is Z' V⁻¹ Z of the events beyond those expected, Z, in all groups but one (Peto & Peto 1972).
    """
    groups = int(group_RN.max()) + 1
    member_RNK = (group_RN[:, :, None] == np.arange(groups - 1)).astype(np.float64)
    last_T = np.flatnonzero(np.r_[time_N[1:] != time_N[:-1], True])  # of each time, the last of the cases at risk
    died_T = np.diff(np.r_[0.0, np.cumsum(event_N)[last_T]])
    last_T, died_T = last_T[died_T > 0], died_T[died_T > 0]
    at_risk_T = last_T + 1.0
    share_RTK = np.cumsum(member_RNK, axis=1)[:, last_T] / at_risk_T[:, None]
    beyond_RK = np.einsum("rnk,n->rk", member_RNK, event_N) - np.einsum("rtk,t->rk", share_RTK, died_T)
    weight_T = died_T * (at_risk_T - died_T) / np.maximum(at_risk_T - 1, 1)
    weighted_RTK = share_RTK * weight_T[:, None]
    variance_RKK = -np.swapaxes(share_RTK, 1, 2) @ weighted_RTK
    diagonal = np.arange(groups - 1)
    variance_RKK[:, diagonal, diagonal] += weighted_RTK.sum(axis=1)
    inverse_RKK: NDArray[np.float64] = np.linalg.pinv(variance_RKK, hermitian=True)
    return np.asarray(np.einsum("rk,rkl,rl->r", beyond_RK, inverse_RKK, beyond_RK), np.float64)
