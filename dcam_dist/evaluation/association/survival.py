"""Survival by cluster: Kaplan-Meier, log-rank and Cox, by lifelines."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import EnvironmentFault
from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.design import Design, design_of, wald
from dcam_dist.evaluation.association.groups import FEW, Floats, Ids

EVENTS_PER_TERM = 5
"""With fewer events a coefficient there is no Cox model; Vittinghoff & McCulloch (2007) found 5 to 9 mostly enough."""


@dataclass(frozen=True)
class SurvivalRow:
    """One figure of a survival analysis.

    Attributes:
        analysis: ``kaplan-meier``, ``log-rank``, ``cox``, ``cox, adjusted``, and ``… joint`` or ``… proportionality``.
        cluster: The cluster, from 0, or ``None`` for a test over all.
        n: Cases.
        events: Of these, those with the event.
        estimate: Median survival in the time's unit, infinite where it is not reached; or a hazard ratio.
        low: Lower end of the 95 % interval.
        high: Upper end.
        statistic: Chi-square or z of the test.
        p_value: Of the test; NaN where there is none.
        reference: Of a hazard ratio, the cluster that it is compared with.
        note: What to beware of, or why there is no figure.
    """

    analysis: str
    cluster: int | None
    n: int
    events: int
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    statistic: float = math.nan
    p_value: float = math.nan
    reference: int | None = None
    note: str = ""


def survival_rows(
    time_N: Floats, event_N: Floats, cluster_N: Ids, adjust: Sequence[Variable], reference_order: Sequence[int]
) -> tuple[SurvivalRow, ...]:
    """Kaplan-Meier medians of each cluster, a log-rank test over all, and Cox models, crude and adjusted.

    Ties are Efron's, errors the model's own. Proportional hazards are tested by Schoenfeld residuals against the rank
    of time (Grambsch & Therneau 1994), each cluster's term.

    Args:
        time_N: Time under observation, at least 0; NaN where missing.
        event_N: 1 where it ended with the event, 0 where it was censored; NaN where missing.
        cluster_N: Cluster ids from 0.
        adjust: Covariates of the adjusted model; without any there is none.
        reference_order: Clusters, the one that is wanted as the reference first.

    Raises:
        EnvironmentFault: Without lifelines.
    """
    lifelines()
    known_N = np.isfinite(time_N) & np.isfinite(event_N)
    rows = [_kaplan_meier(time_N, event_N, known_N & (cluster_N == k), k) for k in sorted(reference_order)]
    rows.append(_log_rank(time_N[known_N], event_N[known_N], cluster_N[known_N]))
    rows += _cox("cox", time_N, event_N, design_of(known_N, cluster_N, (), reference_order))
    if adjust:
        rows += _cox("cox, adjusted", time_N, event_N, design_of(known_N, cluster_N, adjust, reference_order))
    return tuple(rows)


def _kaplan_meier(time_N: Floats, event_N: Floats, inside_N: NDArray[np.bool_], cluster: int) -> SurvivalRow:
    n, events = int(inside_N.sum()), int(event_N[inside_N].sum())
    if n < FEW:
        return SurvivalRow("kaplan-meier", cluster, n, events, note=f"fewer than {FEW} cases")
    from lifelines import KaplanMeierFitter
    from lifelines.utils import median_survival_times

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = KaplanMeierFitter().fit(time_N[inside_N], event_N[inside_N])
        low, high = (float(end) for end in median_survival_times(fit.confidence_interval_).iloc[0])
    return SurvivalRow("kaplan-meier", cluster, n, events, float(fit.median_survival_time_), low, high)


def _log_rank(time_M: Floats, event_M: Floats, cluster_M: Ids) -> SurvivalRow:
    n, events = time_M.size, int(event_M.sum())
    if len(np.unique(cluster_M)) < 2 or not events:
        return SurvivalRow("log-rank", None, n, events, note="one cluster only" if events else "no events")
    from lifelines.statistics import multivariate_logrank_test

    found = multivariate_logrank_test(time_M, cluster_M, event_M)
    return SurvivalRow("log-rank", None, n, events, statistic=float(found.test_statistic), p_value=float(found.p_value))


def _cox(name: str, time_N: Floats, event_N: Floats, design: Design) -> list[SurvivalRow]:
    time_M, event_M = time_N[design.used_N], event_N[design.used_N]
    n, events = time_M.size, int(event_M.sum())
    note = design.note or _too_few(event_M, design)
    if note:
        return [SurvivalRow(name, None, n, events, note=note)]
    fit, proportional, note = _fitted(time_M, event_M, design)
    if fit is None:
        return [SurvivalRow(name, None, n, events, note=note)]
    rows, covariance_PP = [], np.asarray(fit.variance_matrix_)
    summary = fit.summary
    for place, cluster in enumerate(design.clusters):
        line = summary.iloc[place]
        inside = design.matrix_MP[:, place] > 0
        rows.append(
            SurvivalRow(
                name,
                cluster,
                int(inside.sum()),
                int(event_M[inside].sum()),
                estimate=math.exp(line["coef"]),
                low=math.exp(line["coef lower 95%"]),
                high=math.exp(line["coef upper 95%"]),
                statistic=float(line["z"]),
                p_value=float(line["p"]),
                reference=design.reference,
                note=note,
            )
        )
    count = len(design.clusters)
    joint = wald(np.asarray(fit.params_)[:count], covariance_PP[:count, :count], None)
    rows.append(SurvivalRow(f"{name}, joint", None, n, events, statistic=joint[0], p_value=joint[1]))
    for place, cluster in enumerate(design.clusters):
        statistic, p = proportional[place]
        rows.append(SurvivalRow(f"{name}, proportionality", cluster, n, events, statistic=statistic, p_value=p))
    return rows


def _too_few(event_M: Floats, design: Design) -> str:
    terms, events = design.matrix_MP.shape[1], int(event_M.sum())
    if events < EVENTS_PER_TERM * terms:
        return f"{events} events for {terms} coefficients, at least {EVENTS_PER_TERM} each are needed"
    groups = [design.matrix_MP[:, place] > 0 for place in range(len(design.clusters))]
    groups.append(~np.any(groups, axis=0))
    return "a cluster without any event" if any(event_M[group].sum() == 0 for group in groups) else ""


def _fitted(time_M: Floats, event_M: Floats, design: Design) -> tuple[Any | None, list[tuple[float, float]], str]:
    """The model, or ``None``; statistic and p of each term's proportionality; the kinds of the library's warnings."""
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError
    from lifelines.statistics import proportional_hazard_test

    names = [f"x{place:03d}" for place in range(design.matrix_MP.shape[1])]
    frame = pd.DataFrame(design.matrix_MP, columns=names).assign(time=time_M, event=event_M)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = CoxPHFitter().fit(frame, "time", "event")
            tested = proportional_hazard_test(fit, frame, time_transform="rank").summary
        except (ConvergenceError, np.linalg.LinAlgError):
            return None, [], "no convergence"
    found = [(float(tested.loc[name, "test_statistic"]), float(tested.loc[name, "p"])) for name in names]
    return fit, found, ", ".join(sorted({one.category.__name__ for one in caught}))


def lifelines() -> None:
    """Refuse to go on without the package.

    Raises:
        EnvironmentFault: When it is not installed.
    """
    try:
        import lifelines as _  # noqa: F401
    except ImportError:
        raise EnvironmentFault(
            "survival by cluster needs the package lifelines: pip install 'dcam-dist[association]', or leave the "
            "survival columns out with --leave-out"
        ) from None
