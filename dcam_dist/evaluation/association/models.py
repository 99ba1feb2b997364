"""Cluster effects adjusted for covariates: linear for numbers, logistic for two levels, by statsmodels."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dcam_dist.errors import EnvironmentFault
from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.design import (
    ENOUGH,
    EVENTS_PER_TERM,
    Design,
    Mask,
    design_of,
    fitting_design,
    wald,
    warning_kinds,
)
from dcam_dist.evaluation.association.groups import Floats, Ids, present
from dcam_dist.evaluation.association.permuted import freedman_lane

LARGEST_LOG_ODDS = 10.0
"""A logistic coefficient beyond this, a standard deviation, is separation that the fit did not notice."""
LARGEST_INTERVAL = 100.0
"""So is an interval of log odds that ends beyond this."""
NO_SPREAD = 1e-10
"""Residuals of so small a part of the outcome's spread are rounding."""
LINEAR, PERMUTED, LOGISTIC = "linear", "linear, permuted", "logistic"


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
        p_value: Two-sided. NaN, as interval and error, where the cluster or the reference is too small for a linear
            model's.
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
        model: ``linear``, or ``linear, permuted`` where the joint p is from permutations; ``logistic``.
        level: Of a binary variable, the level whose odds are modelled.
        reference: The cluster that the others are compared with, −1 without a model.
        n: Complete cases.
        effects: A cluster each, then the joint test; empty without a model.
        note: Why there is none, or what to beware of.
        left_out: Clusters, from 0, that have one level only.
    """

    name: str
    model: str
    level: str
    reference: int
    n: int
    effects: tuple[Effect, ...]
    note: str
    left_out: tuple[int, ...] = ()


def adjusted_model(
    variable: Variable, cluster_N: Ids, adjust: Sequence[Variable], reference_order: Sequence[int]
) -> AdjustedModel:
    """Model a variable by clusters and covariates.

    Numeric: ordinary least squares with HC3 errors and t (MacKinnon & White 1985; Long & Ervin 2000). Where a cluster
    has fewer than ``ENOUGH`` cases, a skewed outcome would be found to differ too often: the joint p is then from
    permuted residuals, and effects of such clusters have no p. Binary: logistic regression with sandwich errors (HC0)
    and z; a cluster with one level only is left out. The joint test is Wald's under the same covariance.

    Args:
        variable: Numeric or binary.
        cluster_N: Cluster ids from 0.
        adjust: Covariates; cases that lack one are not used.
        reference_order: Clusters, the one that is wanted as the reference first.

    Raises:
        EnvironmentFault: Without statsmodels.
    """
    if variable.kind == "numeric":
        return _linear_model(variable, cluster_N, adjust, reference_order)
    return _logistic_model(variable, cluster_N, adjust, reference_order)


def _linear_model(
    variable: Variable, cluster_N: Ids, adjust: Sequence[Variable], order: Sequence[int]
) -> AdjustedModel:
    design = design_of(present(variable.values_N), cluster_N, adjust, order)
    outcome_M = variable.values_N[design.used_N].astype(np.float64)
    small = frozenset(k for k, member_M in design.members.items() if member_M.sum() < ENOUGH)
    effects: tuple[Effect, ...] = ()
    if not (note := design.note or _constant(outcome_M)):
        effects, note = _linear(outcome_M, design)
    if effects and small:
        p = freedman_lane(outcome_M, design.matrix_MP, len(design.clusters))
        effects = tuple(_trusted(effect, design.reference, small, p) for effect in effects)
    kind = PERMUTED if small and effects else LINEAR
    return AdjustedModel(variable.name, kind, "", design.reference, outcome_M.size, effects, note)


def _trusted(effect: Effect, reference: int, small: frozenset[int], joint_p: float) -> Effect:
    """An effect without what the small size of a cluster does not allow."""
    if effect.cluster is None:
        return replace(effect, p_value=joint_p)
    if not small & {effect.cluster, reference}:
        return effect
    return Effect(effect.cluster, effect.estimate, np.nan, np.nan, np.nan, np.nan)


def _logistic_model(
    variable: Variable, cluster_N: Ids, adjust: Sequence[Variable], order: Sequence[int]
) -> AdjustedModel:
    level = variable.levels[-1]

    def has_both(inside_N: Mask) -> bool:
        return len(set(variable.values_N[inside_N].tolist())) > 1

    design = fitting_design(has_both, present(variable.values_N), cluster_N, adjust, order)
    outcome_M = (variable.values_N[design.used_N] == level).astype(np.float64)
    effects: tuple[Effect, ...] = ()
    if not (note := design.note or _constant(outcome_M) or _too_rare(outcome_M, design)):
        effects, note = _logistic(outcome_M, design)
    return AdjustedModel(
        variable.name, LOGISTIC, level, design.reference, outcome_M.size, effects, note, design.left_out
    )


def _constant(outcome_M: Floats) -> str:
    return "" if outcome_M.size and np.ptp(outcome_M) > 0 else "constant among the complete cases"


def _too_rare(outcome_M: Floats, design: Design) -> str:
    terms, rarer = design.matrix_MP.shape[1], min(outcome_M.sum(), (1 - outcome_M).sum())
    if rarer >= EVENTS_PER_TERM * terms:
        return ""
    return f"fewer than {EVENTS_PER_TERM} cases of the rarer level for each of {terms} coefficients"


def _linear(outcome_M: Floats, design: Design) -> tuple[tuple[Effect, ...], str]:
    api = statsmodels()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = api.OLS(outcome_M, api.add_constant(design.matrix_MP, has_constant="add")).fit(cov_type="HC3", use_t=True)
        if np.std(fit.resid) < NO_SPREAD * np.std(outcome_M):
            return (), "clusters and covariates give it exactly, so there is nothing to estimate"
        effects = _effects(fit, design, float(fit.df_resid))
    if not np.isfinite([effect.p_value for effect in effects]).all():
        return (), "no finite estimate (a case that its covariates alone explain?)"
    return effects, warning_kinds(caught)


def _logistic(outcome_M: Floats, design: Design) -> tuple[tuple[Effect, ...], str]:
    api = statsmodels()
    from statsmodels.tools.sm_exceptions import PerfectSeparationError

    spread_P = design.matrix_MP.std(axis=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = api.Logit(outcome_M, api.add_constant(design.matrix_MP, has_constant="add")).fit(
                disp=0, maxiter=100, cov_type="HC0"
            )
        except (PerfectSeparationError, np.linalg.LinAlgError):
            return (), "separation: the covariates tell the levels apart without error"
        scaled_P = np.asarray(fit.params)[1:] * spread_P  # the constant is of the covariates' means, and no effect
        if not fit.mle_retvals["converged"] or np.abs(scaled_P).max() > LARGEST_LOG_ODDS:
            return (), "separation or no convergence"
        effects = _effects(fit, design, None)
    if not max(abs(end) for effect in effects[:-1] for end in (effect.low, effect.high)) < LARGEST_INTERVAL:
        return (), "separation or no convergence"
    return effects, warning_kinds(caught)


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
