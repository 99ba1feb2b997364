"""One case at a glance: three planes, each with the CT, every map, and the winning class."""

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from dcam_dist.maps import style
from dcam_dist.maps.compute import MappedCase
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.scene import Scene
from dcam_dist.maps.slices import PLANES, Plane, Slice, cut, strongest_slice

COLUMN_INCHES = 1.75
# What lies at the left and the right edge of a panel.
EDGES: dict[Plane, tuple[str, str]] = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}


def write_overview(scene: Scene, path: Path, names: ClassNames) -> Path:
    """Draw the overview of one case, through the slices in which its own class is strongest.

    All panels have one scale in millimetres.
    """
    class_id = scene.mapped.class_id
    views = [cut(scene, plane, strongest_slice(scene, plane, class_id)) for plane in PLANES]
    figure, panels, bar = _layout(views, columns=len(names.titles) + 2)
    for plane, view, row in zip(PLANES, views, panels, strict=True):
        _draw_row(row, view, plane)
    _title_columns(panels[0], scene.mapped, names)
    figure.suptitle(caption(scene.mapped, names), x=0.01, ha="left", fontsize=11, parse_math=False)
    colours = style.over_lung(style.winner_colours(len(names.titles)))
    patches = [Patch(color=tuple(colour), label=title) for colour, title in zip(colours, names.titles, strict=True)]
    legend = figure.legend(
        handles=patches, loc="outside lower center", ncols=min(8, len(patches)), fontsize=8, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # names of grades are the user's
    style.draw_scale(figure, bar, names.kind, len(names.titles))
    figure.savefig(path, dpi=style.DPI)
    return path


def caption(mapped: MappedCase, names: ClassNames) -> str:
    """The case, its class and how sure that is."""
    number = mapped.class_id
    text = f"{mapped.record.case_id} · {names.titles[number]}"
    if mapped.distance_K is not None:
        text += f" (distance to its centroid {mapped.distance_K[number]:.2f})"
    return f"{text} · probability by the head {mapped.probability_K[number]:.2f}"


def _layout(views: list[Slice], columns: int) -> tuple[Figure, list[list[Axes]], Axes]:
    width_mm = max(view.size_mm[1] for view in views)
    heights_mm = [view.size_mm[0] for view in views]
    size = COLUMN_INCHES * (columns + 0.7), COLUMN_INCHES * sum(heights_mm) / width_mm + 1.1
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0))
    grid = figure.add_gridspec(len(views), columns + 1, width_ratios=[1] * columns + [0.07], height_ratios=heights_mm)
    panels = [[figure.add_subplot(grid[row, column]) for column in range(columns)] for row in range(len(views))]
    for row, height_mm in zip(panels, heights_mm, strict=True):
        for axes in row:
            style.empty_panel(axes, height_mm, width_mm)
    return figure, panels, figure.add_subplot(grid[:, -1])


def _draw_row(row: list[Axes], view: Slice, plane: Plane) -> None:
    ct, *maps, winner = row
    style.draw_ct(ct, view)
    for class_id, axes in enumerate(maps):
        style.draw_map(axes, view, class_id)
    style.draw_winner(winner, view)
    left, right = EDGES[plane]
    style.label_panel(ct, plane, 0, 1)
    style.label_panel(ct, left, 0, 0.5)
    style.label_panel(ct, right, 1, 0.5)


def _title_columns(row: list[Axes], mapped: MappedCase, names: ClassNames) -> None:
    titles = ["CT", *names.titles, "winner"]
    for column, (axes, title) in enumerate(zip(row, titles, strict=True)):
        own = column == mapped.class_id + 1
        text = "\n".join(textwrap.wrap(title, 18))
        weight = "bold" if own else "normal"
        axes.set_title(f"{text} ◂" if own else text, fontsize=9, fontweight=weight, parse_math=False)
