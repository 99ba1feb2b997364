"""The paper's Figure 1: the most typical cases of each class, CT above and activation map below."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dcam_dist.maps import style
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.scene import Scene
from dcam_dist.maps.slices import Slice, cut, strongest_slice
from dcam_dist.maps.typical import TypicalCases

COLUMN_INCHES = 1.9
MOST_COLUMNS = 6


def coronal_view(scene: Scene, class_id: int) -> Slice:
    """The coronal slice that the figure shows of a case: where the class it stands for is strongest."""
    return cut(scene, "coronal", strongest_slice(scene, "coronal", class_id))


def write_figure1(
    groups: Sequence[TypicalCases], views: Mapping[str, Slice], path: Path, names: ClassNames, title: str
) -> Path:
    """Draw the figure; all panels have one scale in millimetres.

    Args:
        groups: The classes with their typical cases; a class without cases is left out.
        views: The coronal slice of every case in ``groups``.
        path: The PNG.
        names: Titles of the classes.
        title: Over the whole figure.
    """
    shown = [group for group in groups if group.case_ids]
    cases = max(len(group.case_ids) for group in shown)
    down = -(-len(shown) // max(1, MOST_COLUMNS // cases))
    across = -(-len(shown) // down)
    height_mm, width_mm = (max(view.size_mm[side] for view in views.values()) for side in (0, 1))
    row_inches = 2 * COLUMN_INCHES * height_mm / width_mm + 0.55
    size = COLUMN_INCHES * across * cases + 0.9, row_inches * down + 0.4
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0))
    figure.suptitle("\n".join(textwrap.wrap(title, int(10 * size[0]))), fontsize=11)
    grid = figure.add_gridspec(down, across + 1, width_ratios=[1] * across + [0.6 / (COLUMN_INCHES * cases)])
    for place, group in enumerate(shown):
        block = figure.add_subfigure(grid[divmod(place, across)])
        _draw_block(block, group, views, names, columns=cases, panel_mm=(height_mm, width_mm))
    side = figure.add_subfigure(grid[:, -1])
    style.draw_scale(side, side.add_axes((0.0, 0.15, 0.28, 0.7)), names.kind, len(names.titles))
    figure.savefig(path, dpi=style.DPI)
    return path


def _draw_block(
    block: SubFigure,
    group: TypicalCases,
    views: Mapping[str, Slice],
    names: ClassNames,
    *,
    columns: int,
    panel_mm: tuple[float, float],
) -> None:
    title = f"{names.titles[group.class_id]} · n = {group.size}"
    block.suptitle(title, fontsize=10, fontweight="bold", parse_math=False)
    panels = block.subplots(2, columns, squeeze=False)
    for column in range(columns):
        for axes in panels[:, column]:
            style.empty_panel(axes, *panel_mm)
            axes.set_visible(column < len(group.case_ids))
    for (upper, lower), case_id in zip(panels.T, group.case_ids, strict=False):
        style.draw_ct(upper, views[case_id])
        style.draw_map(lower, views[case_id], group.class_id)
        for text, x, y in ((case_id, 0, 1), ("R", 0, 0.5), ("L", 1, 0.5)):
            style.label_panel(upper, text, x, y)
