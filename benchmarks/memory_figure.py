"""The figure of ``benchmarks.memory``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7", "#000000")
MARKS = ("o", "s", "^", "D", "x")


def draw_sizes(edges: Sequence[int], gib: Mapping[str, Sequence[float]], budget: float, path: Path) -> None:
    """Peak over the edge of a cube, a line a policy, and the budget."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for (name, values), colour, mark in zip(gib.items(), COLOURS, MARKS, strict=False):
        axes.plot(edges, values, marker=mark, color=colour, label=name)
    axes.axhline(budget, color="#d55e00", linestyle="--", label=f"for tensors on a 40 GB card: {budget:.1f} GiB")
    axes.set(xlabel="edge of the cube, voxels", ylabel="peak, GiB (predicted)", yscale="log", xticks=edges)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
