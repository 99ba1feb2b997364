"""What models of cluster effects share: the cases they can use, and the columns of their matrix."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.groups import FEW, Floats, Ids, present

Mask = NDArray[np.bool_]

CASES_PER_TERM = 2
"""With fewer cases than so many a coefficient there is no model."""
EVENTS_PER_TERM = 5
"""Nor with fewer events, or cases of the rarer of two levels; Vittinghoff & McCulloch (2007) found 5 to 9 enough."""
ENOUGH = 15
"""The distributions of z, t and F are trusted for a cluster of so many complete cases."""


@dataclass(frozen=True, eq=False)
class Design:
    """The right-hand side of a model, without a constant.

    Attributes:
        used_N: The cases that the model uses: in a cluster that takes part, and complete.
        matrix_MP: Their rows: one column for each cluster but the reference, then those of the adjustment.
        clusters: The clusters of the first columns, from 0.
        reference: The cluster that they are compared with.
        note: Why there is no model, else empty.
        left_out: Clusters that take no part for another reason than few cases.
    """

    used_N: Mask
    matrix_MP: Floats
    clusters: tuple[int, ...]
    reference: int
    note: str = ""
    left_out: tuple[int, ...] = ()

    @property
    def members(self) -> dict[int, Mask]:
        """The cases of each cluster that takes part, among those used, shape (M,)."""
        found = {cluster: self.matrix_MP[:, place] > 0 for place, cluster in enumerate(self.clusters)}
        if not found:
            return {}
        return {**found, self.reference: ~np.any(list(found.values()), axis=0)}


def fitting_design(
    fits: Callable[[Mask], bool],
    complete_N: Mask,
    cluster_N: Ids,
    adjust: Sequence[Variable],
    reference_order: Sequence[int],
) -> Design:
    """``design_of`` without clusters that the model has no finite effect for.

    Args:
        fits: Whether a cluster can take part, given its cases, shape (N,).
        complete_N: Cases with an outcome.
        cluster_N: Cluster ids from 0.
        adjust: Covariates.
        reference_order: Clusters, the one that is wanted as the reference first.
    """
    design = design_of(complete_N, cluster_N, adjust, reference_order)
    left_out = tuple(sorted(k for k in design.members if not fits(design.used_N & (cluster_N == k))))
    if not left_out:
        return design
    rest = design_of(complete_N & ~np.isin(cluster_N, left_out), cluster_N, adjust, reference_order)
    return replace(rest, left_out=left_out)


def design_of(complete_N: Mask, cluster_N: Ids, adjust: Sequence[Variable], reference_order: Sequence[int]) -> Design:
    """The design of cluster effects adjusted for covariates.

    A cluster with fewer than ``FEW`` complete cases does not take part, and one with fewer than ``ENOUGH`` is the
    reference only where all are so small. Numbers are centred, so that the constant is within the data.

    Args:
        complete_N: Cases with an outcome.
        cluster_N: Cluster ids from 0.
        adjust: Covariates; of a categorical one, the first level is the reference.
        reference_order: Clusters, the one that is wanted as the reference first.
    """
    for variable in adjust:
        complete_N = complete_N & present(variable.values_N)
    sizes = {cluster: int((complete_N & (cluster_N == cluster)).sum()) for cluster in reference_order}
    taking_part = [cluster for cluster in reference_order if sizes[cluster] >= FEW]
    used_N = complete_N & np.isin(cluster_N, taking_part)
    if len(taking_part) < 2:
        note = f"fewer than two clusters with {FEW} complete cases"
        return Design(used_N, np.zeros((int(used_N.sum()), 0)), (), -1, note)
    reference = min(taking_part, key=lambda cluster: sizes[cluster] < ENOUGH)
    others = tuple(sorted(set(taking_part) - {reference}))
    columns = [(cluster_N[used_N] == cluster).astype(np.float64) for cluster in others]
    for variable in adjust:
        columns += _columns_of(variable, used_N)
    matrix_MP = np.column_stack(columns)
    return Design(used_N, matrix_MP, others, reference, _fault(matrix_MP))


def _columns_of(variable: Variable, used_N: Mask) -> list[Floats]:
    values_M = variable.values_N[used_N]
    if variable.kind == "numeric":
        return [values_M.astype(np.float64) - float(values_M.mean())]
    levels = sorted(set(values_M.tolist()))
    return [(values_M == level).astype(np.float64) for level in levels[1:]]


def _fault(matrix_MP: Floats) -> str:
    cases, terms = matrix_MP.shape
    if cases < CASES_PER_TERM * (terms + 1):
        return f"{cases} complete cases for {terms + 1} coefficients"
    spread_P = matrix_MP.std(axis=0)
    scaled = (matrix_MP - matrix_MP.mean(axis=0)) / np.where(spread_P > 0, spread_P, 1)
    if np.linalg.matrix_rank(scaled) < terms:
        return "clusters and covariates cannot be told apart (collinear or constant among the complete cases)"
    return ""


def wald(estimate_P: Floats, covariance_PP: Floats, df_residual: float | None) -> tuple[float, float]:
    """Statistic and p of all estimates being 0: F with the residual degrees of freedom, or chi-square without."""
    chi2 = float(estimate_P @ np.linalg.solve(covariance_PP, estimate_P))
    if df_residual is None:
        return chi2, float(stats.chi2.sf(chi2, len(estimate_P)))
    return chi2 / len(estimate_P), float(stats.f.sf(chi2 / len(estimate_P), len(estimate_P), df_residual))


def warning_kinds(caught: Sequence[warnings.WarningMessage]) -> str:
    """The kinds of a library's warnings, each once: their texts may hold a user's."""
    return ", ".join(sorted({one.category.__name__ for one in caught}))
