"""How far a case lies from the rest of its cohort, by robust z-scores.

``z = (x − median) / (1.4826 · MAD)`` (Iglewicz & Hoaglin, *How to Detect and Handle Outliers*, 1993, whose cut of 3.5
is used). Sizes and ratios are compared by their logarithm, so that half and double are equally far.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CUT = 3.5
"""From this score on a case counts as an outlier."""
LEAST_CASES = 20
"""With fewer values there is no score: a median and a MAD of a handful say little of what is usual."""
MAD_TO_SIGMA, MEAN_AD_TO_SIGMA = 1.4826, 1.2533
LARGEST = 99.9


@dataclass(frozen=True)
class Measure:
    """One of the values that scores are made of.

    Attributes:
        name: Its key among a case's measures.
        title: What readers call it.
        scale: Applied before cases are compared.
        least_sigma: On that scale; a spread below it is taken to be this, so that in a uniform cohort a case is no
            outlier for a difference that does not matter clinically.
    """

    name: str
    title: str
    scale: Callable[[float], float]
    least_sigma: float


@dataclass(frozen=True)
class Outlier:
    """The score of a case: its largest |z|, whose it is, and that z with its sign."""

    score: float
    measure: Measure
    z: float


MEASURES = (
    Measure("volume_ml", "lung volume", math.log, 0.1),
    Measure("right_left_ratio", "right/left ratio", math.log, 0.05),
    Measure("mean_hu", "mean HU", float, 10.0),
    Measure("laa950", "LAA-950", math.log1p, 0.25),
    Measure("perc15", "Perc15", float, 10.0),
    Measure("spacing_z_mm", "slice spacing", math.log, 0.1),
    Measure("spacing_x_mm", "pixel spacing", math.log, 0.1),
)


def outliers(cases: Sequence[Mapping[str, float]]) -> list[Outlier | None]:
    """Score each case against all of them.

    Args:
        cases: The measures of each case, by ``Measure.name``; one that is missing is not compared.

    Returns:
        For each case its score, or ``None`` where it has no measure that ``LEAST_CASES`` cases have.
    """
    scores = np.stack([robust_z([_scaled(case, m) for case in cases], m.least_sigma) for m in MEASURES], axis=1)
    return [_largest(z_M) for z_M in scores]


def robust_z(values_N: Sequence[float], least_sigma: float) -> NDArray[np.float64]:
    """Robust z-scores of a measure, limited to ±``LARGEST``.

    Where more than half of the values are the same the MAD is 0; then 1.2533 · the mean absolute deviation from the
    median stands for the standard deviation.

    Args:
        values_N: NaN where a case has none.
        least_sigma: Smallest spread to divide by.

    Returns:
        One a value: NaN for NaN, and for all of fewer than ``LEAST_CASES``.
    """
    all_N = np.asarray(values_N, dtype=np.float64)
    known_M = all_N[np.isfinite(all_N)]
    if known_M.size < LEAST_CASES:
        return np.full(all_N.shape, np.nan)
    median = np.median(known_M)
    away_M = np.abs(known_M - median)
    sigma = MAD_TO_SIGMA * np.median(away_M) or MEAN_AD_TO_SIGMA * away_M.mean()
    z_N: NDArray[np.float64] = np.clip((all_N - median) / max(sigma, least_sigma), -LARGEST, LARGEST)
    return z_N


def _scaled(case: Mapping[str, float], measure: Measure) -> float:
    try:
        return measure.scale(case[measure.name])
    except (KeyError, ValueError):  # none, or a logarithm of none
        return math.nan


def _largest(z_M: NDArray[np.float64]) -> Outlier | None:
    if np.isnan(z_M).all():
        return None
    index = int(np.nanargmax(np.abs(z_M)))
    return Outlier(abs(float(z_M[index])), MEASURES[index], float(z_M[index]))
