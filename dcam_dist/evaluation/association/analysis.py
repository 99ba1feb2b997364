"""Everything that is computed of clusters and variables, with false discovery rates, before it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dcam_dist.evaluation.association.cases import ClusteredCases
from dcam_dist.evaluation.association.columns import LEAST_SHARED, Variable
from dcam_dist.evaluation.association.disclosure import shareable, shareable_survival
from dcam_dist.evaluation.association.gather import Gathered
from dcam_dist.evaluation.association.groups import (
    GroupSummary,
    GroupTest,
    Ids,
    describe,
    family_q_values,
    group_test,
    q_values,
)
from dcam_dist.evaluation.association.models import AdjustedModel, adjusted_model
from dcam_dist.evaluation.association.pairwise import PairTest, pair_tests
from dcam_dist.evaluation.association.survival import SurvivalRow, survival_rows

REFERENCE = "laa950"


@dataclass(frozen=True, eq=False)
class Compared:
    """One variable and what was found of it.

    Attributes:
        variable: The variable.
        groups: Its description in each cluster, without what is kept back (``disclosure``).
        test: The test over all clusters.
        q_value: Of that test, over the tests of all variables of its source.
        pairs: Two clusters each.
        pair_q: Their q, over the pairs of all variables of its source.
    """

    variable: Variable
    groups: tuple[GroupSummary, ...]
    test: GroupTest
    q_value: float
    pairs: tuple[PairTest, ...]
    pair_q: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Modelled:
    """One adjusted model.

    Attributes:
        variable: The variable.
        model: The model.
        effect_q: q of each effect: a cluster's over the cluster effects of all models of its source, the joint test's
            over the joint tests of these.
    """

    variable: Variable
    model: AdjustedModel
    effect_q: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """What an association found.

    Attributes:
        compared: One entry a variable.
        modelled: One entry a model; empty without covariates to adjust for.
        survival: Empty without an outcome; without what is kept back.
        survival_q: A q for each row of it; see ``survival_q_values``.
        reference_order: The clusters from the lowest median LAA-950 on: the first that is large enough is the
            reference of all models.
    """

    compared: tuple[Compared, ...]
    modelled: tuple[Modelled, ...]
    survival: tuple[SurvivalRow, ...]
    survival_q: tuple[float, ...]
    reference_order: tuple[int, ...]


def analyse(cases: ClusteredCases, gathered: Gathered) -> Found:
    """Describe and test all variables, model them where there is something to adjust for, and compare survival.

    Raises:
        EnvironmentFault: When a model or a survival analysis is asked for and its package is missing.
    """
    order = reference_order(cases)
    survival: tuple[SurvivalRow, ...] = ()
    if outcome := gathered.outcome:
        rows = survival_rows(outcome.time_N, outcome.event_N, cases.cluster_N, gathered.adjust, order)
        survival = shareable_survival(rows)
    modelled = _modelled(gathered, cases.cluster_N, order) if gathered.adjust else ()
    return Found(_compared(gathered.variables, cases), modelled, survival, survival_q_values(survival), order)


def reference_order(cases: ClusteredCases) -> tuple[int, ...]:
    """The clusters by their median LAA-950, the lowest first; those without one come last."""
    laa_N = np.array([record.densitometry.get(REFERENCE, np.nan) for record in cases.records], np.float64)
    medians = {group.cluster: group.median for group in describe(laa_N, cases.cluster_N, cases.clusters)}
    return tuple(sorted(medians, key=lambda k: (not np.isfinite(medians[k]), medians[k] if medians[k] >= 0 else 0, k)))


def _compared(variables: Sequence[Variable], cases: ClusteredCases) -> tuple[Compared, ...]:
    tests = [group_test(variable.values_N, cases.cluster_N) for variable in variables]
    pairs = [_pairs(variable, cases.cluster_N) for variable in variables]
    sources = [variable.source for variable in variables]
    q_V = family_q_values(np.array([test.p_value for test in tests], np.float64), sources)
    pair_q = _nested_q([[pair.p_value for pair in of] for of in pairs], sources)
    groups = [shareable(describe(variable.values_N, cases.cluster_N, cases.clusters)) for variable in variables]
    return tuple(
        Compared(*entry) for entry in zip(variables, groups, tests, map(float, q_V), pairs, pair_q, strict=True)
    )


def _pairs(variable: Variable, cluster_N: Ids) -> tuple[PairTest, ...]:
    """Where a cluster holds one or two cases, a pair would say how these stand."""
    found = pair_tests(variable.values_N, cluster_N)
    return tuple(pair for pair in found if min(pair.n_first, pair.n_second) >= LEAST_SHARED)


def _modelled(gathered: Gathered, cluster_N: Ids, order: Sequence[int]) -> tuple[Modelled, ...]:
    adjusting = {variable.name for variable in gathered.adjust}
    outcomes = [v for v in gathered.variables if v.kind != "categorical" and v.name not in adjusting]
    models = [adjusted_model(variable, cluster_N, gathered.adjust, order) for variable in outcomes]
    single = [[effect.p_value for effect in model.effects[:-1]] for model in models]
    sources = [variable.source for variable in outcomes]
    joint = family_q_values(
        np.array([model.effects[-1].p_value if model.effects else np.nan for model in models]), sources
    )
    single_q = _nested_q(single, sources)
    return tuple(
        Modelled(variable, model, (*of, float(q)) if model.effects else ())
        for variable, model, of, q in zip(outcomes, models, single_q, joint, strict=True)
    )


def survival_q_values(rows: Sequence[SurvivalRow]) -> tuple[float, ...]:
    """False discovery rates of the tests over all clusters among themselves, and of the hazard ratios among themselves.

    Other rows have NaN. The tests of proportionality are diagnostics of the models: their p-values stand as they are.
    """
    found = np.full(len(rows), np.nan)
    ratios = np.array([row.reference is not None for row in rows], np.bool_)
    overall = np.array([row.analysis == "log-rank" or row.analysis.endswith("joint") for row in rows], np.bool_)
    p_R = np.array([row.p_value for row in rows], np.float64)
    for family in (ratios, overall):
        found[family] = q_values(p_R[family])
    return tuple(found.tolist())


def _nested_q(p_values: Sequence[Sequence[float]], sources: Sequence[str]) -> list[tuple[float, ...]]:
    """Q of the p-values of each variable, over all of its source."""
    families = [source for of, source in zip(p_values, sources, strict=True) for _ in of]
    flat = family_q_values(np.array([p for of in p_values for p in of], np.float64), families)
    ends = np.cumsum([0, *map(len, p_values)])
    return [tuple(flat[start:end].tolist()) for start, end in pairwise(ends)]
