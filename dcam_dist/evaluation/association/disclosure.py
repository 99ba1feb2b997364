"""What is kept back before anything is written: figures that one or two cases have, and those that would tell them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.association.columns import LEAST_SHARED
from dcam_dist.evaluation.association.groups import FEW, GroupSummary, Ids
from dcam_dist.evaluation.association.survival import KAPLAN_MEIER, SurvivalRow

FEWEST_SPREAD = 2 * LEAST_SHARED
"""Mean, deviation and quartiles need so many cases: of three, together with the median, they are all three values."""


def shareable(groups: Sequence[GroupSummary]) -> tuple[GroupSummary, ...]:
    """The description of a variable in each cluster without figures of one or two cases.

    Numbers have a median from ``LEAST_SHARED`` cases on, the rest from ``FEWEST_SPREAD`` on. Levels that are kept back
    are not among the counts.
    """
    levels = list(groups[0].counts) if groups else []
    if not levels:
        return tuple(map(_numeric, groups))
    kept_KL = ~kept_back(np.array([[group.counts[level] for level in levels] for group in groups], np.int64))
    return tuple(
        replace(group, counts={level: group.counts[level] for level, kept in zip(levels, kept_L, strict=True) if kept})
        for group, kept_L in zip(groups, kept_KL, strict=True)
    )


def _numeric(group: GroupSummary) -> GroupSummary:
    if group.n >= FEWEST_SPREAD:
        return group
    median = group.median if group.n >= LEAST_SHARED else np.nan
    return GroupSummary(group.cluster, group.n, group.missing, median)


def kept_back(count_KL: Ids) -> NDArray[np.bool_]:
    """Which cells of a table are not written: counts of 1 and 2, and those that give them away by the margins.

    A line of the table in which one cell is kept back is told by its sum, and so are cells that are all 1; there the
    smallest of the others is kept back too. A line of no other cell has nothing that its sum does not say.

    Args:
        count_KL: Counts of clusters K and levels L, whose sums over rows and columns are known.
    """
    back_KL = _few(count_KL)
    back_KL |= ((count_KL.sum(axis=1) < LEAST_SHARED) & count_KL.any(axis=1))[:, None]  # there even zeros tell
    while True:
        before = int(back_KL.sum())
        for counts, back in ((count_KL, back_KL), (count_KL.T, back_KL.T)):  # views: the table itself is marked
            for count_L, back_L in zip(counts, back, strict=True):
                _complete(count_L, back_L)
        if int(back_KL.sum()) == before:
            return back_KL


def _complete(count_L: Ids, back_L: NDArray[np.bool_]) -> None:
    while back_L.any() and (back_L.sum() == 1 or count_L[back_L].sum() == back_L.sum()):
        others = np.flatnonzero(~back_L & (count_L > 0))
        if not others.size:
            return
        back_L[others[np.argmin(count_L[others])]] = True


def shareable_survival(rows: Sequence[SurvivalRow]) -> tuple[SurvivalRow, ...]:
    """Figures of survival without those of fewer than ``FEW`` cases, or of one or two who had the event or had it not.

    A cluster that is kept back in one analysis is so in all of them, for the sums over all clusters are known.
    """
    back: set[int | None] = set()
    for analysis in {row.analysis for row in rows}:
        of_clusters = [row for row in rows if row.analysis == analysis and _of_a_cluster(row)]
        events_K = np.array([row.events or 0 for row in of_clusters], np.int64)
        without_K = np.array([row.n or 0 for row in of_clusters], np.int64) - events_K
        back_K = _few(events_K) | _few(without_K)
        _complete(events_K, back_K)
        _complete(without_K, back_K)
        back |= {row.cluster for row, is_back in zip(of_clusters, back_K, strict=True) if is_back}
    return tuple(_without(row, back=row.cluster in back) for row in rows)


def _of_a_cluster(row: SurvivalRow) -> bool:
    return row.analysis == KAPLAN_MEIER or row.reference is not None


def _without(row: SurvivalRow, *, back: bool) -> SurvivalRow:
    n, events = row.n or 0, row.events or 0
    if not _of_a_cluster(row):
        return replace(row, events=None) if _few(np.array([events, n - events])).any() else row
    if n < FEW:
        return replace(row, n=None, events=None)
    row = replace(row, events=None) if back else row
    if row.analysis == KAPLAN_MEIER and 0 < events < LEAST_SHARED:  # a median of so few is a time of one of them
        note = f"fewer than {LEAST_SHARED} events"
        return replace(row, estimate=np.nan, low=np.nan, high=np.nan, note=note)
    return row


def _few(count_K: Ids) -> NDArray[np.bool_]:
    return (count_K > 0) & (count_K < LEAST_SHARED)
