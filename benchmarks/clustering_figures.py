"""The pictures of ``benchmarks.clustering``: how time and memory grow. Okabe and Ito's colours, a marker each."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clustering_cases import CORES, FAISS, OURS, OURS_ALONE, SKLEARN, SKLEARN_IN_PLACE, Plan, rank_name
from benchmarks.clustering_samples import Found

STYLE = {
    OURS: ("#0072B2", "o", "-"),
    OURS_ALONE: ("#56B4E9", "s", "--"),
    SKLEARN: ("#D55E00", "^", "-"),
    SKLEARN_IN_PLACE: ("#E69F00", "v", "--"),
    FAISS: ("#009E73", "D", ":"),
}
RANKS = ("#0072B2", "#CC79A7")


def figures(found: Found, plan: Plan) -> dict[str, Callable[[Path], None]]:
    """By file name."""
    return {
        "rows.png": partial(_by_rows, found, plan),
        "growth.png": partial(_by_the_rest, found, plan),
    }


def _by_rows(found: Found, plan: Plan, path: Path) -> None:
    """Time above, memory below; a column for each k."""
    figure, axes = _panels(2, len(plan.clusters))
    for column, clusters in enumerate(plan.clusters):
        sizes = [(rows, plan.channels, clusters) for rows in plan.rows]
        time, memory = axes[0][column], axes[1][column]
        for name in STYLE:
            if all((name, *size) in found for size in sizes):
                samples = [found[name, *size] for size in sizes]
                _line(time, name, plan.rows, [one.seconds("").median for one in samples])
                _line(memory, name, plan.rows, [max(0.01, one.peak("").median) for one in samples])
        time.set_title(f"k = {clusters}, {plan.channels} channels")
        time.set_ylabel(f"seconds of {plan.iterations[1]} iterations")
        memory.set_ylabel("peak memory above the rows, MB")
        memory.set_xlabel("rows")
    axes[0][0].legend(fontsize=8, frameon=False)
    _save(figure, path)


def _by_the_rest(found: Found, plan: Plan, path: Path) -> None:
    """Time by channels, by clusters and by ranks."""
    figure, ((by_channels, by_clusters, by_ranks),) = _panels(1, 3)
    few, most = plan.few_rows, max(plan.clusters)
    channels = sorted({plan.channels, *plan.other_channels})
    clusters = sorted({*plan.clusters, *plan.other_clusters})
    for name in STYLE:
        for axis, x, sizes in (
            (by_channels, channels, [(few, one, most) for one in channels]),
            (by_clusters, clusters, [(few, plan.channels, one) for one in clusters]),
        ):
            if all((name, *size) in found for size in sizes):
                _line(axis, name, x, [found[name, *size].seconds("").median for size in sizes])
    by_channels.set(title=f"{few:,} rows, k = {most}", xlabel="channels")
    by_clusters.set(title=f"{few:,} rows, {plan.channels} channels", xlabel="clusters k")
    by_channels.set_ylabel(f"seconds of {plan.iterations[1]} iterations")
    by_clusters.legend(fontsize=8, frameon=False)
    _ranks(by_ranks, found, plan)
    for axis, values in ((by_channels, channels), (by_clusters, clusters), (by_ranks, plan.ranks)):
        axis.set_xticks(list(values), [str(value) for value in values])
        axis.minorticks_off()
    _save(figure, path)


def _ranks(axis: Any, found: Found, plan: Plan) -> None:
    """Filled up to as many ranks as there are cores, hollow beyond; the dashed line halves with the ranks."""
    for (colour, marker), clusters in zip(zip(RANKS, "os", strict=True), plan.clusters, strict=False):
        keys = [(rank_name(ranks), plan.rows[-2], plan.channels, clusters) for ranks in plan.ranks]
        seconds = [found[key].seconds("").median for key in keys]
        axis.plot(plan.ranks, seconds, color=colour, label=f"torch, k = {clusters}")
        axis.plot(plan.ranks, [seconds[0] / ranks for ranks in plan.ranks], "--", color=colour, linewidth=0.8)
        for ranks, value in zip(plan.ranks, seconds, strict=True):
            axis.plot(ranks, value, marker, color=colour, markerfacecolor=colour if ranks <= CORES else "white")
    axis.set(title=f"{plan.rows[-2]:,} rows", xlabel=f"ranks of one thread (hollow: more than {CORES} cores)")
    axis.legend(fontsize=8, frameon=False)


def _line(axis: Any, name: str, x: Sequence[int], y: Sequence[float]) -> None:
    colour, marker, dashes = STYLE[name]
    axis.plot(x, y, dashes, color=colour, marker=marker, markersize=5, label=name)


def _panels(rows: int, columns: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * columns, 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xscale="log", yscale="log")
        axis.grid(which="major", linewidth=0.4, alpha=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=130)
