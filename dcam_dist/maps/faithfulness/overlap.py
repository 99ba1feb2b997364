"""Does a map point at something that is known of each voxel? Scores against shares, 0…1, instead of yes and no.

A voxel of the training grid holds several of the scan's. Its share says how many of them show the target, so it counts
as a hit by this share and as a miss by the rest: what would be found at the scan's resolution if all voxels under one
of the grid had its value.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
LEAST_CASES = 5
"""Fewer decide no direction: one of four cases more or less would turn it."""


def average_precision(value_N: Values, share_N: Values) -> float:
    """Area under precision over recall: Σ (recall step) · precision, equal values as one step (as scikit-learn).

    Chance is the mean share. Of a share that is 0 or 1 everywhere, the best is 1.

    Returns:
        0 to 1; NaN where no voxel has a share.
    """
    hit, seen = _by_descending(value_N, share_N)
    if hit.size == 0 or hit[-1] <= 0:
        return float("nan")
    return float((np.diff(hit, prepend=0.0) / hit[-1] * (hit / seen)).sum())


def dice(predicted_N: NDArray[np.bool_], share_N: Values) -> float:
    """2 · shared / (predicted + present); NaN where no voxel has a share."""
    present = float(share_N.sum())
    return 2 * float(share_N[predicted_N].sum()) / (float(predicted_N.sum()) + present) if present > 0 else float("nan")


def best_threshold(value_N: Values, share_N: Values) -> float:
    """The threshold, itself included, whose Dice is best; the highest of those that are equal.

    Returns:
        Infinity where no voxel has a share: nothing is predicted then.
    """
    hit, seen = _by_descending(value_N, share_N)
    if hit.size == 0 or hit[-1] <= 0:
        return float("inf")
    return float(np.unique(value_N)[::-1][int((2 * hit / (seen + hit[-1])).argmax())])


@dataclass(frozen=True)
class Rule:
    """How a map is read, decided on training cases.

    Attributes:
        sign: 1: high values point at the target; −1: low ones.
        threshold: Of the map times ``sign``; from it on a voxel is predicted.
        cases: Training cases of its class with the target; below ``LEAST_CASES`` it is the rule of all classes.
    """

    sign: int
    threshold: float
    cases: int


@dataclass(frozen=True, eq=False)
class Sample:
    """What a rule is fitted on, of one training case.

    Attributes:
        class_id: Its class.
        value_N: The map at some lung voxels.
        share_N: The target there.
        forward: AUPRC over all lung voxels of the map as it is; NaN where the target is absent.
        inverted: Of the negated map.
    """

    class_id: int
    value_N: Values
    share_N: Values
    forward: float
    inverted: float


def fit_rules(samples: list[Sample], classes: int) -> tuple[Rule, ...]:
    """A rule for each class: the direction with the higher mean AUPRC over its training cases, then the best threshold.

    A class with fewer than ``LEAST_CASES`` training cases that have the target gets the rule of all training cases
    together; without any such case, the map is taken as it is and predicts nothing.
    """
    useful = [sample for sample in samples if not np.isnan(sample.forward)]
    overall = _fit(useful)
    found = []
    for class_id in range(classes):
        own = [sample for sample in useful if sample.class_id == class_id]
        found.append(replace(_fit(own) if len(own) >= LEAST_CASES else overall, cases=len(own)))
    return tuple(found)


def _fit(samples: list[Sample]) -> Rule:
    if not samples:
        return Rule(1, float("inf"), 0)
    forward, inverted = (float(np.mean([getattr(s, name) for s in samples])) for name in ("forward", "inverted"))
    sign = 1 if forward >= inverted else -1
    value_N, share_N = (np.concatenate([getattr(s, name) for s in samples]) for name in ("value_N", "share_N"))
    return Rule(sign, best_threshold(sign * value_N, share_N), len(samples))


def _by_descending(value_N: Values, share_N: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Hits and voxels down to each distinct value, from the highest one."""
    order = np.argsort(-value_N, kind="stable")
    ordered = value_N[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if ordered.size else np.empty(0, np.int64)
    return np.cumsum(share_N[order], dtype=np.float64)[last], (last + 1).astype(np.float64)
