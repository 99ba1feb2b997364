"""The figure of ``benchmarks.scaling``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.harness import Series

COLOURS = ("#0072b2", "#d55e00", "#009e73")
MARKS = ("o", "s", "^")
NAMES = {"weak": "weak", "strong": "strong", "apart": "weak, without exchange"}


def draw_scaling(
    efficiencies: Mapping[str, Mapping[int, Series]],
    sent: Mapping[int, Sequence[float]],
    theory: Mapping[int, float],
    limit: int,
    path: Path,
) -> None:
    """Efficiency over ranks with the range of its samples, and bytes of a rank and step, measured and in theory."""
    figure, (shares, traffic) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    _draw_efficiency(shares, efficiencies, limit)
    traffic.plot(list(theory), [one / 1e6 for one in theory.values()], "--", color="black", label="a ring, in theory")
    if sent:
        measured = [median(of) / 1e6 for of in sent.values()]
        traffic.plot(list(sent), measured, "o", color=COLOURS[0], label="sent by TCP, measured")
    traffic.set(xlabel="ranks", ylabel="MB sent by a rank in a step", xscale="log", ylim=(0, None))
    _number_ranks(traffic, list(theory))
    traffic.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_efficiency(axes: Axes, efficiencies: Mapping[str, Mapping[int, Series]], limit: int) -> None:
    for (mode, of), colour, mark in zip(efficiencies.items(), COLOURS, MARKS, strict=True):
        middle = [series.median for series in of.values()]
        below = [series.median - min(series.samples) for series in of.values()]
        above = [max(series.samples) - series.median for series in of.values()]
        axes.errorbar(list(of), middle, (below, above), marker=mark, color=colour, capsize=3, label=NAMES[mode])
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xlabel=f"ranks (no more than the {limit} there is room for)", ylabel="efficiency, 1 = that of one rank")
    axes.set(ylim=(0, None))
    _number_ranks(axes, list(efficiencies["weak"]))
    axes.legend(fontsize=8)


def _number_ranks(axes: Axes, ranks: Sequence[int]) -> None:
    axes.set_xticks(ranks, [str(one) for one in ranks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
