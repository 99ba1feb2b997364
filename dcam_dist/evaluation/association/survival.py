"""Survival by cluster: Kaplan-Meier, log-rank and Cox, by lifelines."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dcam_dist.errors import EnvironmentFault
from dcam_dist.evaluation.association.columns import Variable
from dcam_dist.evaluation.association.design import EVENTS_PER_TERM, Design, Mask, fitting_design, wald, warning_kinds
from dcam_dist.evaluation.association.groups import FEW, Floats, Ids
from dcam_dist.evaluation.association.logrank import log_rank

KAPLAN_MEIER = "kaplan-meier"
LARGEST_LOG_RATIO = 100.0
"""An interval of a hazard ratio beyond this is of a fit that ran away."""


@dataclass(frozen=True)
class SurvivalRow:
    """One figure of a survival analysis.

    Attributes:
        analysis: ``kaplan-meier``, ``log-rank``, ``cox``, ``cox, adjusted``, and ``… joint`` or ``… proportionality``.
        cluster: The cluster, from 0, or ``None`` for a test over all.
        n: Cases; ``None`` where this is kept back.
        events: Of these, those with the event; ``None`` where this is kept back.
        estimate: Median survival in the time's unit, infinite where it is not reached; or a hazard ratio.
        low: Lower end of the 95 % interval.
        high: Upper end.
        statistic: Chi-square or z of the test.
        p_value: Of the test; NaN where there is none.
        reference: Of a hazard ratio, the cluster that it is compared with.
        note: What to beware of, or why there is no figure.
        left_out: Clusters that take no part in the test or the model.
        why: Why they do not.
    """

    analysis: str
    cluster: int | None
    n: int | None
    events: int | None
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    statistic: float = math.nan
    p_value: float = math.nan
    reference: int | None = None
    note: str = ""
    left_out: tuple[int, ...] = ()
    why: str = ""


def survival_rows(
    time_N: Floats, event_N: Floats, cluster_N: Ids, adjust: Sequence[Variable], reference_order: Sequence[int]
) -> tuple[SurvivalRow, ...]:
    """Kaplan-Meier medians of each cluster, a log-rank test over all, and Cox models, crude and adjusted.

    Ties are Efron's, errors the model's own. Proportional hazards are tested by Schoenfeld residuals against the rank
    of time (Grambsch & Therneau 1994), each cluster's term. The log-rank test leaves clusters of fewer than ``FEW``
    cases out, Cox models those without any event.

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
    models = {"cox": (), "cox, adjusted": tuple(adjust)} if adjust else {"cox": ()}

    def has_event(inside_N: Mask) -> bool:
        return bool(event_N[inside_N].any())

    for name, by in models.items():
        rows += _cox(name, time_N, event_N, fitting_design(has_event, known_N, cluster_N, by, reference_order))
    return tuple(rows)


def _kaplan_meier(time_N: Floats, event_N: Floats, inside_N: Mask, cluster: int) -> SurvivalRow:
    n, events = int(inside_N.sum()), int(event_N[inside_N].sum())
    if n < FEW:
        return SurvivalRow(KAPLAN_MEIER, cluster, n, events, note=f"fewer than {FEW} cases")
    from lifelines import KaplanMeierFitter
    from lifelines.utils import median_survival_times

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = KaplanMeierFitter().fit(time_N[inside_N], event_N[inside_N])
        low, high = (float(end) for end in median_survival_times(fit.confidence_interval_).iloc[0])
    return SurvivalRow(KAPLAN_MEIER, cluster, n, events, float(fit.median_survival_time_), low, high)


def _log_rank(time_M: Floats, event_M: Floats, cluster_M: Ids) -> SurvivalRow:
    known, sizes = np.unique(cluster_M, return_counts=True)
    left_out, why = tuple(known[sizes < FEW].tolist()), f"fewer than {FEW} cases"
    used_M = ~np.isin(cluster_M, left_out)
    n, events = int(used_M.sum()), int(event_M[used_M].sum())
    if len(known) - len(left_out) < 2 or not events:
        note = "no events" if n and not events else f"fewer than two clusters with {FEW} cases"
        return SurvivalRow("log-rank", None, n, events, note=note, left_out=left_out, why=why)
    group_M = np.unique(cluster_M[used_M], return_inverse=True)[1]
    statistic, p, permuted = log_rank(time_M[used_M], event_M[used_M], group_M)
    return SurvivalRow(
        "log-rank",
        None,
        n,
        events,
        statistic=statistic,
        p_value=p,
        note="p by permutation" if permuted else "",
        left_out=left_out,
        why=why,
    )


def _cox(name: str, time_N: Floats, event_N: Floats, design: Design) -> list[SurvivalRow]:
    time_M, event_M = time_N[design.used_N], event_N[design.used_N]
    n, events = time_M.size, int(event_M.sum())
    whole = SurvivalRow(name, None, n, events, left_out=design.left_out, why="no event")
    if note := design.note or _too_few(event_M, design):
        return [replace(whole, note=note)]
    fit, proportional, note = _fitted(time_M, event_M, design)
    if fit is None:
        return [replace(whole, note=note)]
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
    rows.append(replace(whole, analysis=f"{name}, joint", statistic=joint[0], p_value=joint[1]))
    for place, cluster in enumerate(design.clusters):
        statistic, p = proportional[place]
        rows.append(SurvivalRow(f"{name}, proportionality", cluster, n, events, statistic=statistic, p_value=p))
    return rows


def _too_few(event_M: Floats, design: Design) -> str:
    terms = design.matrix_MP.shape[1]
    if event_M.sum() >= EVENTS_PER_TERM * terms:
        return ""
    return f"fewer than {EVENTS_PER_TERM} events for each of {terms} coefficients"


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
    ends = fit.confidence_intervals_.to_numpy()[: len(design.clusters)]
    if not np.abs(ends).max() < LARGEST_LOG_RATIO:
        return None, [], "no convergence"
    found = [(float(tested.loc[name, "test_statistic"]), float(tested.loc[name, "p"])) for name in names]
    return fit, found, warning_kinds(caught)


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
