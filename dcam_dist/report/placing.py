"""Where the training cases lie among the classes, and which of them are typical or borderline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.distributed import ProcessContext
from dcam_dist.maps.compute import Floats
from dcam_dist.maps.typical import head_probabilities, rank_typical
from dcam_dist.runs import RestoredRun
from dcam_dist.training.extract import extract_readable
from dcam_dist.types import UNASSIGNED, FeatureTable

TYPICAL, BORDERLINE = 3, 2
"""Cases of a class that are shown."""


@dataclass(frozen=True, eq=False)
class Placed:
    """The training cases that have a class, in the cohort's order.

    Attributes:
        case_id_N: The cases.
        class_N: int64, 0-based: the cluster of the closing assignment, or the grade that the head gives.
        features_NC: Lung-pooled features.
        points_NP: The cases in the space that is drawn: the clustering space, or for a supervised run the standardised
            features.
        far_NK: How far each case is from each class: distance to its centroid, or 1 − the head's probability.
        margin_N: 0 where a case is as near to another class as to its own, 1 where it is on its own centroid: (second −
            own) / second. Of a supervised run: own probability − the largest other one.
    """

    case_id_N: tuple[str, ...]
    class_N: NDArray[np.int64]
    features_NC: Floats
    points_NP: Floats
    far_NK: Floats
    margin_N: NDArray[np.float64]


@dataclass(frozen=True)
class ShownCases:
    """The cases of a class that are shown.

    Attributes:
        class_id: 0-based.
        typical: Nearest to the centroid, the nearest first.
        borderline: Of the others those with the smallest margin, the smallest first.
    """

    class_id: int
    typical: tuple[str, ...]
    borderline: tuple[str, ...]


def place_training_cases(run: RestoredRun, cohort: Cohort, context: ProcessContext) -> Placed:
    """Place the training cases; damaged ones, and those that training set aside, are left out."""
    model, kept = run.checkpoint.clustering, run.checkpoint.in_hand.features
    if model is None or kept is None:
        kept = _extracted(run, cohort, context)
    label_of = run.assignment.by_case()
    if model is None:
        return _by_head(run, kept)
    rows = [row for row, case_id in enumerate(kept.case_id_N) if label_of[case_id] != UNASSIGNED]
    case_ids, features_NC = tuple(kept.case_id_N[row] for row in rows), kept.features_NC[rows]
    class_N = np.array([label_of[case_id] for case_id in case_ids], dtype=np.int64)
    points_NP = model.project(features_NC)
    far_NK = model.distances(points_NP)
    return Placed(case_ids, class_N, features_NC, points_NP, far_NK, margins(far_NK, class_N, relative=True))


def margins(far_NK: Floats, class_N: NDArray[np.int64], *, relative: bool) -> NDArray[np.float64]:
    """How much nearer each case is to its own class than to the next; see ``Placed.margin_N``.

    Args:
        far_NK: How far each case is from each class.
        class_N: Its own.
        relative: Whether as a share of the distance to the next class.
    """
    rows = np.arange(len(class_N))
    own_N = far_NK[rows, class_N].astype(np.float64)
    others_NK = far_NK.astype(np.float64)
    others_NK[rows, class_N] = np.inf
    next_N = others_NK.min(axis=1)
    margin_N = next_N - own_N
    return np.asarray(margin_N / np.where(next_N > 0, next_N, 1.0) if relative else margin_N, dtype=np.float64)


def choose_shown(placed: Placed) -> tuple[ShownCases, ...]:
    """The typical and the borderline cases of each class; fewer where it has fewer cases."""
    shown = []
    for group in rank_typical(placed.class_N, placed.far_NK, placed.case_id_N, TYPICAL):
        rows = [
            row
            for row in np.flatnonzero(placed.class_N == group.class_id)
            if placed.case_id_N[row] not in group.case_ids
        ]
        rows.sort(key=lambda row: float(placed.margin_N[row]))
        shown.append(
            ShownCases(group.class_id, group.case_ids, tuple(placed.case_id_N[row] for row in rows[:BORDERLINE]))
        )
    return tuple(shown)


def _extracted(run: RestoredRun, cohort: Cohort, context: ProcessContext) -> FeatureTable:
    return extract_readable(
        run.network.to(context.device),
        cohort,
        [case.case_id for case in cohort.split("train")],
        run.config.data,
        context,
        last_relu=run.config.training.last_relu or run.checkpoint.clustering is None,
    ).table


def _by_head(run: RestoredRun, kept: FeatureTable) -> Placed:
    far_NK: Floats = (1 - head_probabilities(run.network, kept.features_NC)).astype(np.float32)
    class_N = far_NK.argmin(axis=1).astype(np.int64)
    points_NP = _standardised(kept.features_NC)
    return Placed(
        kept.case_id_N, class_N, kept.features_NC, points_NP, far_NK, margins(far_NK, class_N, relative=False)
    )


def _standardised(features_NC: Floats) -> Floats:
    spread_C = features_NC.std(axis=0)
    scaled_NC: Floats = (features_NC - features_NC.mean(axis=0)) / np.where(spread_C > 0, spread_C, 1)
    return scaled_NC
