"""Which number of clusters each criterion takes, and what their answers are worth together."""

from collections.abc import Callable, Mapping

import numpy as np

from dcam_dist.analysis.k_figures import KFigures, KSelection
from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.gap import gap_choice

CRITERIA = {
    "gap": "gap statistic",
    "silhouette": "silhouette",
    "davies_bouldin": "Davies-Bouldin",
    "calinski_harabasz": "Caliński-Harabasz",
    "stability": "stability",
}
"""Those that take a K. Inertia falls with every cluster more. Seeds tell whether k-means finds its optimum."""

AS_STABLE = 0.01
"""Medians of the adjusted Rand index that differ by less are equal: of equally stable K the largest is taken."""

TRUSTED = 0.6
"""Clusters with a lower Jaccard stability are not to be trusted (Hennig 2007)."""


def choices(selection: KSelection) -> dict[str, int | None]:
    """The K that each of the criteria takes; ``None`` where it takes none.

    Where a cluster stays empty there are no K clusters, and only the gap statistic is asked.
    """
    figures = selection.figures

    def over_k(score: Callable[[KFigures], float]) -> Doubles:
        return np.array([score(one) if one.stability.reference.size_K.all() else np.nan for one in figures])

    best = {
        "silhouette": _first_largest(over_k(lambda one: one.silhouette)),
        "davies_bouldin": _first_largest(over_k(lambda one: -one.davies_bouldin)),
        "calinski_harabasz": _first_largest(over_k(lambda one: one.calinski_harabasz)),
        "stability": _last_as_large(over_k(lambda one: one.stability.over_resamples.median), AS_STABLE),
    }
    taken = {name: None if place is None else figures[place].clusters for name, place in best.items()}
    return {"gap": gap_choice(selection.gaps), **taken}


def verdict(selection: KSelection) -> tuple[str, ...]:
    """What the criteria say together, in sentences."""
    taken, figures = choices(selection), selection.figures
    said = {k for k in taken.values() if k is not None}
    sentences, last = [_agreement(taken)], figures[-1].clusters
    if taken["gap"] == 1:
        sentences.append("By the gap statistic there is no more structure than in a uniform cloud.")
    if taken["gap"] is None:
        sentences.append(f"The gap still rises at K = {last}.")
    if last in said:
        sentences.append(f"K = {last} is the end of the range: look beyond it with --to.")
    weak = [one.clusters for one in figures if one.clusters in said and one.least_jaccard < TRUSTED]
    if weak:
        numbers = " and ".join(map(str, weak))
        sentences.append(f"With K = {numbers} at least one cluster dissolves on resamples (Jaccard below {TRUSTED}).")
    return tuple(sentences)


def _agreement(taken: Mapping[str, int | None]) -> str:
    by_k = {k: _names(taken, k) for k in sorted({k for k in taken.values() if k is not None})}
    none = _names(taken, None)
    silent = f"; none: {none}" if none else ""
    if len(by_k) == 1:
        (clusters,) = by_k
        return f"{'All the others' if none else 'All criteria'} take K = {clusters}{silent}."
    told = "; ".join(f"K = {k}: {names}" for k, names in by_k.items())
    return f"The criteria disagree ({told}{silent}): these cases do not settle the number of clusters by themselves."


def _names(taken: Mapping[str, int | None], clusters: int | None) -> str:
    return ", ".join(CRITERIA[name] for name, value in taken.items() if value == clusters)


def _first_largest(value_K: Doubles) -> int | None:
    return None if np.isnan(value_K).all() else int(np.nanargmax(value_K))


def _last_as_large(value_K: Doubles, tolerance: float) -> int | None:
    if np.isnan(value_K).all():
        return None
    return int(np.flatnonzero(value_K >= np.nanmax(value_K) - tolerance)[-1])
