"""Histograms of the cohort as plain numbers that the page draws: bars stacked by group, in SVG units."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 300.0, 120.0
BINS = 24
TICKS = 6
FAR = 3.0
"""Interquartile ranges beyond the quartiles where the axis ends: one wild value must not press the rest into a bar."""
TEXT_WIDTH = 45.0
"""Room for the text of a tick, in SVG units."""


@dataclass(frozen=True)
class Bar:
    """One rectangle: place and size in SVG units, and which group it counts."""

    x: float
    y: float
    width: float
    height: float
    group: int


@dataclass(frozen=True)
class Histogram:
    """All that is drawn of one.

    Attributes:
        bars: From the bottom up.
        ticks: Place and text on the axis; "≤" and "≥" where an outermost bar counts cases beyond the axis.
        most: Cases in the highest bar.
        beyond: Cases outside the axis, counted in the outermost bars.
        cases: Cases in all.
        summary: Median and quartiles, in words.
    """

    title: str
    unit: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    most: int
    beyond: int
    cases: int
    summary: str


def histogram(title: str, unit: str, groups: Sequence[Sequence[float]], *, whole: bool = False) -> Histogram | None:
    """Lay out a histogram of finite values.

    Args:
        title: What is counted.
        unit: Its unit.
        groups: The values of each group; stacked in this order.
        whole: Let the axis reach the farthest values, for a measure whose rare values are as much of interest.

    Returns:
        ``None`` of no values.
    """
    values_N = np.array([value for group in groups for value in group if math.isfinite(value)])
    if not values_N.size:
        return None
    edges = _edges(values_N, math.inf if whole else FAR)
    counts_GB = np.stack([_counts(group, edges) for group in groups])
    most = int(counts_GB.sum(axis=0).max())
    low, median, high = np.percentile(values_N, (25, 50, 75))
    return Histogram(
        title,
        unit,
        bars=tuple(_bars(counts_GB, most)),
        ticks=_ticks(edges, cut_low=values_N.min() < edges[0], cut_high=values_N.max() > edges[-1]),
        most=most,
        beyond=int(np.count_nonzero((values_N < edges[0]) | (values_N > edges[-1]))),
        cases=values_N.size,
        summary=f"median {_text(median, 3)}, quartiles {_text(low, 3)} and {_text(high, 3)} {unit}".rstrip(),
    )


def kernel_groups(kernels: Sequence[str], most: int) -> dict[str, int]:
    """The group of each kernel: the ``most`` frequent ones have one of their own, the rest share the last."""
    counts = Counter(kernels)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: min(place, most) for place, name in enumerate(ordered)}


def _edges(values_N: NDArray[np.float64], far: float) -> NDArray[np.float64]:
    """Edges at round numbers, at most ``BINS`` + 2 bins."""
    low, high = np.percentile(values_N, (25, 75))
    reach = far * (high - low) if high > low else math.inf
    start, stop = max(values_N.min(), low - reach), min(values_N.max(), high + reach)
    if start == stop:  # one bar in the middle
        around = 0.1 * max(abs(start), 1.0)
        start, stop = start - around, stop + around
    step = _round_step((stop - start) / BINS)
    first, last = math.floor(start / step), math.floor(stop / step) + 1
    digits = 2 - math.floor(math.log10(step))  # 6 · 0.2 is above 1.2, and a scan of 1.2 mm belongs above that edge
    return np.round(np.arange(first, last + 1) * step, digits)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 · 10ⁿ that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= least * (1 - 1e-9))


def _counts(values: Sequence[float], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    finite = [value for value in values if math.isfinite(value)]
    return np.histogram(np.clip(finite, edges[0], edges[-1]), edges)[0]


def _bars(counts_GB: NDArray[np.int64], most: int) -> list[Bar]:
    width = WIDTH / counts_GB.shape[1]
    tops_GB = np.cumsum(counts_GB, axis=0) * (HEIGHT / most)
    return [
        Bar(
            x=round(b * width, 2),
            y=round(HEIGHT - float(tops_GB[g, b]), 2),
            width=round(width, 2),
            height=round(int(counts_GB[g, b]) * HEIGHT / most, 2),
            group=g,
        )
        for b in range(counts_GB.shape[1])
        for g in range(counts_GB.shape[0])
        if counts_GB[g, b]
    ]


def _ticks(edges: NDArray[np.float64], *, cut_low: bool, cut_high: bool) -> tuple[tuple[float, str], ...]:
    step = _round_step((edges[-1] - edges[0]) / TICKS)
    marks = np.arange(math.ceil(edges[0] / step - 1e-9), math.floor(edges[-1] / step + 1e-9) + 1) * step
    lows = [(_place(edges[1], edges), f"≤ {_text(edges[1])}")] if cut_low else []
    highs = [(_place(edges[-2], edges), f"≥ {_text(edges[-2])}")] if cut_high else []
    inner = [
        (place, _text(mark))
        for place, mark in ((_place(mark, edges), mark) for mark in marks)
        if all(abs(place - end) >= TEXT_WIDTH for end, _ in (*lows, *highs))
    ]
    return (*lows, *inner, *highs)


def _place(value: float, edges: NDArray[np.float64]) -> float:
    return round(float((value - edges[0]) / (edges[-1] - edges[0])) * WIDTH, 2)


def _text(value: float, digits: int = 4) -> str:
    return f"{value + 0.0:.{digits}g}".replace("-", "−")
