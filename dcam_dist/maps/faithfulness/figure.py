"""The figure: maps side by side, deletion and insertion, agreement by grade, randomized weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from dcam_dist.maps import style
from dcam_dist.maps.faithfulness.example import Example
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.panels import draw_curves, draw_grades, draw_layer, draw_similarity, draw_target
from dcam_dist.maps.faithfulness.summary import scores_of
from dcam_dist.maps.faithfulness.targets import TITLES as TARGETS

WIDTH_INCHES, FONT = 12.0, 11
CURVES_INCHES, DOTS_INCHES = 3.8, 4.2


def write_figure(runs: Mapping[str, RunMeasures], examples: Sequence[Example], path: Path) -> Path:
    """Draw the figure.

    Args:
        runs: What was found of each run, by its name.
        examples: Scans shown above; may be none.
        path: The PNG.
    """
    heights = [_example_inches(example) for example in examples]
    rows = [*heights, CURVES_INCHES, DOTS_INCHES]
    figure = Figure(figsize=(WIDTH_INCHES, sum(rows)), layout="constrained")
    parts = np.ravel(np.array(figure.subfigures(len(rows), 1, height_ratios=rows), dtype=object))
    for part, example in zip(parts, examples, strict=False):
        _draw_example(part, example)
    _draw_curves(parts[-2], runs)
    _draw_dots(parts[-1], runs)
    figure.savefig(path, dpi=style.DPI)
    return path


def _example_inches(example: Example) -> float:
    columns = len(example.ranks) + 2
    height_mm, width_mm = example.view.size_mm
    return WIDTH_INCHES / (columns + 0.35) * height_mm / width_mm + 0.85


def _draw_example(part: SubFigure, example: Example) -> None:
    part.suptitle(example.caption, x=0.01, ha="left", fontsize=FONT, fontweight="bold")
    columns = len(example.ranks) + 2
    panels = part.subplots(1, columns, gridspec_kw={"wspace": 0.03})
    for axes in panels:
        style.empty_panel(axes, *example.view.size_mm)
    style.draw_ct(panels[0], example.view)
    draw_target(panels[1], example.view, example.target_RC)
    for axes, rank_RC in zip(panels[2:], example.ranks.values(), strict=True):
        draw_layer(axes, example.view, rank_RC)
    titles = ["CT", TARGETS[example.target], *example.ranks]
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=FONT - 1)
    style.label_panel(panels[0], "R", 0, 0.5)
    style.label_panel(panels[0], "L", 1, 0.5)
    _draw_scale(panels[-1].inset_axes((1.04, 0, 0.06, 1)))


def _draw_scale(axes: Axes) -> None:
    colours = style.over_lung(style.heat()(np.linspace(0, 1, 256)))
    axes.imshow(colours[:, None], aspect="auto", origin="lower", extent=(0, 1, 0, 100))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([0, 50, 100])
    axes.tick_params(labelsize=FONT - 2)
    axes.yaxis.set_label_position("right")
    axes.set_ylabel("rank in the lungs, %", fontsize=FONT - 2)


def _draw_curves(part: SubFigure, runs: Mapping[str, RunMeasures]) -> None:
    kinds = ("deletion", "insertion")
    wanted = [(name, run, score) for name, run in runs.items() for score in scores_of(run)]
    if len(runs) > 1:  # one score of each run: the margin, where it has one
        wanted = [(name, run, scores_of(run)[-1]) for name, run in runs.items()]
    axes = part.subplots(1, 2 * len(wanted), squeeze=False)[0]
    for place, (name, run, score) in enumerate(wanted):
        for axis, kind in zip(axes[2 * place :], kinds, strict=False):
            draw_curves(axis, run, score, kind)
            axis.sharey(axes[2 * place])
            axis.set_title(f"{kind}, {name}" if len(runs) > 1 else kind, fontsize=FONT)
    known = {text: line for axis in axes for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    part.legend(known.values(), known, loc="outside lower center", ncols=4, fontsize=FONT - 1, frameon=False)


def _draw_dots(part: SubFigure, runs: Mapping[str, RunMeasures]) -> None:
    left, right = part.subplots(1, 2, width_ratios=[1.5, 1])
    draw_grades(left, runs)
    draw_similarity(right, runs)
