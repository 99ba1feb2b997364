"""The picture of ``select-k``: one panel a criterion with the K that it takes, and the consensus at each K below."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from dcam_dist.analysis.k_choice import AS_STABLE, TRUSTED, choices, verdict
from dcam_dist.analysis.k_figures import KFigures, KSelection
from dcam_dist.clustering.model import Floats

# Okabe & Ito's colours; what is taken is told by shape and words too
LINE, TAKEN, SECOND, QUIET = "#0072B2", "#D55E00", "#009E73", "#666666"
DPI = 150
WIDTH, HEAD, PANELS, STRIP = 12.0, 1.15, 6.6, 2.2
LEFT = 0.012
MOST_MATRICES = 9
CONSENSUS = (
    "Consensus: how often two cases (rows and columns, in the order of their clusters) share a cluster when a resample "
    "has drawn both.\nClean dark squares on the diagonal are clusters that come again. Below each: Jaccard stability "
    f"of its weakest cluster; under {TRUSTED} it dissolves."
)


@dataclass(frozen=True, eq=False)
class _Panel:
    """One score over K: its key among the criteria (none: it takes no K), its name and how to read it."""

    criterion: str
    title: str
    reading: str


GAP = _Panel(
    "gap",
    "Gap statistic",
    "how much tighter than in a uniform cloud, ± standard error;\n"
    "takes the smallest K not below the next one's lower bar",
)
SCORES = (
    _Panel(
        "silhouette",
        "Silhouette",
        "how much nearer cases are to their own cluster than to another;\ntakes the highest",
    ),
    _Panel(
        "davies_bouldin",
        "Davies-Bouldin index",
        "spread of two clusters over their distance, worst neighbours;\ntakes the lowest",
    ),
    _Panel(
        "calinski_harabasz",
        "Caliński-Harabasz index",
        "variance between clusters over variance within;\ntakes the highest",
    ),
)
STABILITY = _Panel(
    "stability",
    "Stability",
    "adjusted Rand index: 1 the same clusters again, 0 chance;\n"
    f"takes the largest K within {AS_STABLE} of the best median",
)
INERTIA = _Panel(
    "",
    "Inertia",
    "sum of squared distances to the centroids; always falls\nand takes no K: a sharp bend speaks for one",
)


def draw_selection(selection: KSelection) -> bytes:
    """A PNG; the same bytes for the same selection and version of matplotlib."""
    figure = Figure(figsize=(WIDTH, HEAD + PANELS + STRIP), layout="constrained")
    head, panels, strip = figure.subfigures(3, 1, squeeze=False, height_ratios=[HEAD, PANELS, STRIP])[:, 0]
    _draw_head(head, selection)
    axes = panels.subplots(2, 3).ravel()
    taken = choices(selection)
    _draw_gap(axes[0], selection, taken["gap"])
    for place, panel in zip(axes[1:4], SCORES, strict=True):
        _draw_score(place, panel, selection, taken[panel.criterion])
    _draw_stability(axes[4], selection, taken["stability"])
    _draw_inertia(axes[5], selection)
    _draw_consensus(strip, selection, set(taken.values()))
    content = io.BytesIO()
    figure.savefig(content, dpi=DPI)
    return content.getvalue()


def _draw_head(head: SubFigure, selection: KSelection) -> None:
    effort = selection.effort
    about = (
        f"{selection.cases:,} cases of {selection.channels} channels; k-means and all scores in {selection.space}; "
        f"{effort.seeds} seeds, {effort.resamples} resamples, {effort.references} references, seed {selection.seed}"
    )
    head.text(LEFT, 0.95, "How many clusters?", fontsize=16, fontweight="bold", va="top")
    head.text(LEFT, 0.68, about, fontsize=9, va="top", color=QUIET)
    head.text(LEFT, 0.47, textwrap.fill(" ".join(verdict(selection)), 155), fontsize=10, va="top", linespacing=1.3)


def _draw_gap(axes: Axes, selection: KSelection, taken: int | None) -> None:
    points = selection.gaps
    k, error = ([getattr(point, name) for point in points] for name in ("clusters", "error"))
    gap = _drawable([point.gap for point in points])
    axes.errorbar(k, gap, error, color=LINE, marker="o", markersize=4, capsize=3, linewidth=1.4)
    _finish(axes, GAP, k, dict(zip(k, gap, strict=True)), taken)


def _draw_score(axes: Axes, panel: _Panel, selection: KSelection, taken: int | None) -> None:
    k = [one.clusters for one in selection.figures]
    value = _drawable([getattr(one, panel.criterion) for one in selection.figures])
    axes.plot(k, value, color=LINE, marker="o", markersize=4, linewidth=1.4)
    _finish(axes, panel, k, dict(zip(k, value, strict=True)), taken)


def _draw_stability(axes: Axes, selection: KSelection, taken: int | None) -> None:
    k = [one.clusters for one in selection.figures]
    again = [one.stability.over_resamples for one in selection.figures]
    seeds = [one.stability.over_seeds.median for one in selection.figures]
    band = [one.low for one in again], [one.high for one in again]
    axes.fill_between(k, *band, color=LINE, alpha=0.18, linewidth=0, label="95 % of the resamples")
    axes.plot(k, seeds, color=SECOND, marker="s", markersize=3.5, linewidth=1.2, linestyle="--", label="other seeds")
    middle = [one.median for one in again]
    axes.plot(k, middle, color=LINE, marker="o", markersize=4, linewidth=1.4, label="resampled cases, median")
    axes.set_ylim(min(0.0, *band[0]) - 0.02, 1.08)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    _finish(axes, STABILITY, k, dict(zip(k, middle, strict=True)), taken)


def _draw_inertia(axes: Axes, selection: KSelection) -> None:
    k = [one.clusters for one in selection.figures]
    axes.plot(k, [one.stability.reference.inertia for one in selection.figures], color=QUIET, marker="o", markersize=4)
    axes.set_ylim(bottom=0)
    _finish(axes, INERTIA, k, {}, None)


def _finish(axes: Axes, panel: _Panel, k: Sequence[int], value: Mapping[int, float], taken: int | None) -> None:
    answer = "" if not panel.criterion else ": takes none" if taken is None else f": K = {taken}"
    axes.set_title(f"{panel.title}{answer}", fontsize=11, fontweight="bold", loc="left", pad=30)
    reading = axes.text(0, 1.03, panel.reading, transform=axes.transAxes, fontsize=8, color=QUIET, linespacing=1.25)
    reading.set_in_layout(False)
    if taken is not None and np.isfinite(value[taken]):
        axes.plot(taken, value[taken], "o", markersize=13, markerfacecolor="none", color=TAKEN, markeredgewidth=2.2)
        axes.axvline(taken, color=TAKEN, linewidth=1, linestyle=":", zorder=0)
    axes.set_xlim(min(k) - 0.5, max(k) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("number of clusters K", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)


def _draw_consensus(strip: SubFigure, selection: KSelection, taken: set[int | None]) -> None:
    """Cases in the order of their clusters: squares that are dark and clean are clusters that come again."""
    shown = _some(selection.figures, taken, MOST_MATRICES)
    *places, scale = strip.subplots(1, len(shown) + 1, width_ratios=[1] * len(shown) + [0.06])
    for axes, one in zip(places, shown, strict=True):
        image = axes.imshow(_ordered(one), cmap="Blues", vmin=0, vmax=1, interpolation="antialiased")
        marked = one.clusters in taken
        axes.set_title(
            f"K = {one.clusters}",
            fontsize=10,
            fontweight="bold" if marked else "normal",
            color=TAKEN if marked else "black",
        )
        axes.set_xlabel(f"weakest {one.least_jaccard:.2f}", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=TAKEN if marked else QUIET, linewidth=2 if marked else 0.6)
    strip.colorbar(image, cax=scale).ax.tick_params(labelsize=8)
    strip.suptitle(CONSENSUS, fontsize=9, x=LEFT, ha="left")


def _ordered(figures: KFigures) -> Floats:
    """The consensus of cases by cluster, the largest cluster first; within one those that come together most."""
    consensus, label_N = figures.stability.consensus, figures.stability.label_N
    label_M = label_N[consensus.row_M]
    size_K = np.bincount(label_M, minlength=figures.clusters)
    own_M = np.nansum(np.where(label_M[:, None] == label_M, consensus.share_MM, 0), axis=1)
    order_M = np.lexsort([-own_M, label_M, -size_K[label_M]])
    return consensus.share_MM[np.ix_(order_M, order_M)]


def _some(figures: Sequence[KFigures], taken: set[int | None], most: int) -> list[KFigures]:
    """Those that are taken, and of the others so many as there is room for, spread over the range."""
    others = [one.clusters for one in figures if one.clusters not in taken]
    room = min(most - len(figures) + len(others), len(others))
    places = np.linspace(0, len(others) - 1, room).round().astype(int)
    shown = {others[place] for place in places} | taken
    return [one for one in figures if one.clusters in shown]


def _drawable(values: Sequence[float]) -> list[float]:
    return [value if np.isfinite(value) else float("nan") for value in values]
