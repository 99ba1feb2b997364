"""How CT and maps look: one window, one colour scale and one set of colours for all cases, classes and figures."""

from functools import cache

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from dcam_dist.maps.slices import Slice

CT_WINDOW_HU = (-1150.0, 250.0)
LUNG_GREY = 0.2  # what the window makes of −870 HU

# Times chance, the probability in a pixel over 1/K, on a logarithmic scale from chance up: what speaks for no class is
# not drawn, or chance would look like a finding. Raw logits have no common zero and grow with training; probabilities
# from 0 to 1 make every map of six classes look alike until the network is very sure.
SCALE_TOP = 4.0  # of few classes K: no probability is more than K times chance
SCALE_LABEL = "probability of the {kind} in the pixel, times chance"
OPACITY = (0.1, 0.8)  # of ranks, from the lowest to the highest; of a map, from nothing at chance to the second
DARKEST = 0.3  # where of inferno a map begins: darker colours are not seen over a lung
WINNER_OPACITY = 0.7
OUTLINE, OUTLINE_WIDTH = "#e8e8e8", 0.6
DPI = 160
# Okabe & Ito's colours, distinct under the common colour-vision deficiencies; their black is left out.
WINNER_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


@cache
def heat() -> Colormap:
    """Colours of ranks with their opacity: perceptually uniform, readable with colour-vision deficiencies."""
    colours = colormaps["inferno"](np.linspace(0, 1, 256))
    colours[:, 3] = np.linspace(*OPACITY, 256)
    return ListedColormap(colours)


def scale_of(classes: int) -> LogNorm:
    """Times chance to 0…1, from 1 up to 4, or to K where there are fewer classes; below 1 less than 0."""
    return LogNorm(1.0, min(SCALE_TOP, float(classes)))


def scale_ticks(classes: int) -> dict[float, str]:
    """Both ends of the scale and its middle."""
    top = float(scale_of(classes).vmax or SCALE_TOP)
    return {value: f"{value:.2g}" for value in (1.0, top**0.5, top)}


@cache
def map_colours() -> Colormap:
    """Colours of a map with their opacity, from chance, which is not seen, to the top of the scale."""
    colours = colormaps["inferno"](np.linspace(DARKEST, 1, 256))
    colours[:, 3] = np.linspace(0, OPACITY[1], 256)
    return ListedColormap(colours, under=(0, 0, 0, 0))


def winner_colours(classes: int) -> NDArray[np.float64]:
    """A colour for each class, (K, 4), with its opacity."""
    few = classes <= len(WINNER_COLOURS)
    colours = np.array(
        (ListedColormap(WINNER_COLOURS) if few else colormaps["turbo"].resampled(classes))(range(classes))
    )
    colours[:, 3] = WINNER_OPACITY
    return colours


def over_lung(colours_N4: NDArray[np.float64]) -> NDArray[np.float64]:
    """What colours with an opacity look like over a lung, for bars and legends that match the panels: (N, 3)."""
    opacity_N1 = colours_N4[:, 3:]
    return colours_N4[:, :3] * opacity_N1 + LUNG_GREY * (1 - opacity_N1)


def empty_panel(axes: Axes, height_mm: float, width_mm: float) -> None:
    """A black panel of a physical size, without ticks."""
    axes.set_facecolor("black")
    axes.set_xlim(-width_mm / 2, width_mm / 2)
    axes.set_ylim(-height_mm / 2, height_mm / 2)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_ct(axes: Axes, view: Slice) -> None:
    """The CT, in the middle of the panel."""
    low, high = CT_WINDOW_HU
    axes.imshow(view.hu_RC, cmap="gray", vmin=low, vmax=high, extent=_extent(view), interpolation="bilinear")


def draw_map(axes: Axes, view: Slice, class_id: int) -> None:
    """The map of one class over the CT, inside the lungs, where it is above chance."""
    classes = len(view.probability_KRC)
    place_RC = scale_of(classes)(view.probability_KRC[class_id] * classes)
    draw_over_lungs(axes, view, map_colours()(np.ma.filled(place_RC, -1.0)))


def draw_winner(axes: Axes, view: Slice) -> None:
    """The class with the largest map in each pixel of the lungs."""
    draw_over_lungs(axes, view, winner_colours(len(view.probability_KRC))[view.winner_RC])


def draw_over_lungs(axes: Axes, view: Slice, colours_RC4: NDArray[np.float64]) -> None:
    """Colours with their opacity, (R, C, 4), over the CT, inside the lungs; with the lungs' outline."""
    draw_ct(axes, view)
    colours_RC4[..., 3] *= view.lungs_RC
    axes.imshow(colours_RC4, extent=_extent(view), interpolation="nearest")
    _draw_outline(axes, view)


def draw_scale(figure: Figure | SubFigure, axes: Axes, kind: str, classes: int) -> None:
    """The colour bar, over the grey of a lung as the maps are, so that its colours are those of the panels."""
    colours, ticks = over_lung(map_colours()(np.linspace(0, 1, 256))), scale_ticks(classes)
    bar = figure.colorbar(ScalarMappable(scale_of(classes), ListedColormap(colours)), cax=axes)
    bar.set_label(SCALE_LABEL.format(kind=kind), fontsize=8)
    bar.ax.yaxis.set_major_locator(FixedLocator(list(ticks)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.set_yticklabels(ticks.values(), fontsize=8)


def label_panel(axes: Axes, text: str, x: float, y: float) -> None:
    """Small text in a corner or at an edge of a panel; 0…1 from its lower left."""
    sides = {0: "left", 1: "right"}
    axes.text(
        0.02 + 0.96 * x,
        0.02 + 0.96 * y,
        text,
        color="#ffffff",
        fontsize=7,
        ha=sides.get(int(x), "center"),
        va="top" if y == 1 else "center" if y else "bottom",
        transform=axes.transAxes,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "black", "alpha": 0.45, "linewidth": 0},
    )


def _draw_outline(axes: Axes, view: Slice) -> None:
    if not view.lungs_RC.any() or view.lungs_RC.all():
        return
    left, right, bottom, top = _extent(view)
    rows, columns = view.lungs_RC.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top - (np.arange(rows) + 0.5) * (top - bottom) / rows
    axes.contour(x, y, view.lungs_RC, levels=[0.5], colors=[OUTLINE], linewidths=OUTLINE_WIDTH)


def _extent(view: Slice) -> tuple[float, float, float, float]:
    height, width = view.size_mm
    return -width / 2, width / 2, -height / 2, height / 2
