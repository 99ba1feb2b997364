"""Cluster effects adjusted for covariates: linear for numbers, logistic for two levels, by statsmodels."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dcam_dist.errors import EnvironmentFault
from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.design import Design, design_of, wald
from dcam_dist.evaluation.association.groups import Floats, Ids, present

LARGEST_LOG_ODDS = 10.0
"""A logistic coefficient of a cluster beyond this is separation that the fit did not notice."""


@dataclass(frozen=True)
class Effect:
    """The effect of one cluster, or of all clusters together, on one variable.

    Attributes:
        cluster: The cluster, from 0; ``None``: the joint test of all.
        estimate: The difference of means from the reference in the variable's unit, or the log odds ratio; of the
            joint test F, or chi-square.
        low: Lower end of the 95 % interval; NaN of the joint test, as the next two.
        high: Upper end.
        error: Robust standard error.
        p_value: Two-sided.
    """

    cluster: int | None
    estimate: float
    low: float
    high: float
    error: float
    p_value: float


@dataclass(frozen=True)
class AdjustedModel:
    """One model.

    Attributes:
        name: The variable.
        model: ``linear`` or ``logistic``.
        level: Of a binary variable, the level whose odds are modelled.
        reference: The cluster that the others are compared with, −1 without a model.
        n: Complete cases.
        effects: A cluster each, then the joint test; empty without a model.
        note: Why there is none, or what to beware of.
    """

    name: str
    model: str
    level: str
    reference: int
    n: int
    effects: tuple[Effect, ...]
    note: str


def adjusted_model(
    variable: Variable, cluster_N: Ids, adjust: Sequence[Variable], reference_order: Sequence[int]
) -> AdjustedModel:
    """Model a variable by clusters and covariates.

    Numeric: ordinary least squares with HC3 errors and t (MacKinnon & White 1985; Long & Ervin 2000). Binary: logistic
    regression with sandwich errors (HC0) and z. The joint test is Wald's under the same covariance.

    Args:
        variable: Numeric or binary.
        cluster_N: Cluster ids from 0.
        adjust: Covariates; cases that lack one are not used.
        reference_order: Clusters, the one that is wanted as the reference first.

    Raises:
        EnvironmentFault: Without statsmodels.
    """
    design = design_of(present(variable.values_N), cluster_N, adjust, reference_order)
    numeric = variable.kind == "numeric"
    level = "" if numeric else variable.levels[-1]
    kind, values_M = "linear" if numeric else "logistic", variable.values_N[design.used_N]
    outcome_M = values_M.astype(np.float64) if numeric else (values_M == level).astype(np.float64)
    note = design.note or _outcome_fault(outcome_M, design, numeric)
    effects: tuple[Effect, ...] = ()
    if not note:
        effects, note = _linear(outcome_M, design) if numeric else _logistic(outcome_M, design)
    return AdjustedModel(variable.name, kind, level, design.reference, outcome_M.size, effects, note)


def _outcome_fault(outcome_M: Floats, design: Design, numeric: bool) -> str:
    if not outcome_M.size or np.ptp(outcome_M) == 0:
        return "constant among the complete cases"
    if numeric:
        return ""
    groups = [design.matrix_MP[:, place] > 0 for place in range(len(design.clusters))]
    groups.append(~np.any(groups, axis=0))
    means = [float(outcome_M[group].mean()) for group in groups]
    return "separation: a cluster with one level only" if min(means) == 0 or max(means) == 1 else ""


def _linear(outcome_M: Floats, design: Design) -> tuple[tuple[Effect, ...], str]:
    api = statsmodels()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = api.OLS(outcome_M, api.add_constant(design.matrix_MP, has_constant="add")).fit(cov_type="HC3", use_t=True)
        effects = _effects(fit, design, float(fit.df_resid))
    if not np.isfinite([effect.p_value for effect in effects]).all():
        return (), "no finite estimate (a case that its covariates alone explain?)"
    return effects, _kinds(caught)


def _logistic(outcome_M: Floats, design: Design) -> tuple[tuple[Effect, ...], str]:
    api = statsmodels()
    from statsmodels.tools.sm_exceptions import PerfectSeparationError

    spread_P = np.r_[1.0, design.matrix_MP.std(axis=0)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = api.Logit(outcome_M, api.add_constant(design.matrix_MP, has_constant="add")).fit(
                disp=0, maxiter=100, cov_type="HC0"
            )
        except (PerfectSeparationError, np.linalg.LinAlgError):
            return (), "separation: the covariates tell the levels apart without error"
        if not fit.mle_retvals["converged"] or np.abs(np.asarray(fit.params) * spread_P).max() > LARGEST_LOG_ODDS:
            return (), "separation or no convergence"
        effects = _effects(fit, design, None)
    return effects, _kinds(caught)


def _effects(fit: Any, design: Design, df_residual: float | None) -> tuple[Effect, ...]:
    places = slice(1, 1 + len(design.clusters))
    estimate_K, error_K = np.asarray(fit.params)[places], np.asarray(fit.bse)[places]
    interval_K2, p_K = np.asarray(fit.conf_int())[places], np.asarray(fit.pvalues)[places]
    effects = [
        Effect(cluster, *map(float, values))
        for cluster, *values in zip(
            design.clusters, estimate_K, interval_K2[:, 0], interval_K2[:, 1], error_K, p_K, strict=True
        )
    ]
    statistic, p = wald(estimate_K, np.asarray(fit.cov_params())[places, places], df_residual)
    return (*effects, Effect(None, statistic, np.nan, np.nan, np.nan, p))


def _kinds(caught: Sequence[warnings.WarningMessage]) -> str:
    return ", ".join(sorted({one.category.__name__ for one in caught}))


def statsmodels() -> Any:
    """The package's models.

    Raises:
        EnvironmentFault: When it is not installed.
    """
    try:
        from statsmodels import api
    except ImportError:
        raise EnvironmentFault(
            "models adjusted for covariates need the package statsmodels: pip install 'dcam-dist[association]', "
            "or leave --adjust out"
        ) from None
    return api
