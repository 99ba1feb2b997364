"""The panels of the figure."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from dcam_dist.maps import style
from dcam_dist.maps.compute import Floats
from dcam_dist.maps.faithfulness.case import SCORES, CaseMeasures
from dcam_dist.maps.faithfulness.curves import STEPS
from dcam_dist.maps.faithfulness.explain import (
    CAM,
    DCAM,
    DENSITY,
    FINER,
    GRAD_CAM,
    RANDOM,
    RANDOM_WEIGHTS,
    SHUFFLED,
    TITLES,
)
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.summary import LEAST_FOR_INTERVAL, Estimate, by_grade, chance_of, over_cases
from dcam_dist.maps.faithfulness.targets import LESIONS
from dcam_dist.maps.faithfulness.targets import TITLES as TARGETS
from dcam_dist.maps.faithfulness.verdicts import CONTROLS, UNCHANGED, chance_similarity
from dcam_dist.maps.slices import Slice
from dcam_dist.types import UNASSIGNED

ORANGE, SKY, GREEN, _, BLUE, VERMILLION, PURPLE = style.WINNER_COLOURS
GREY = "#777777"
COLOURS = {
    DCAM: BLUE,
    CAM: BLUE,
    GRAD_CAM: VERMILLION,
    FINER: ORANGE,
    RANDOM_WEIGHTS: PURPLE,
    SHUFFLED: SKY,
    DENSITY: GREEN,
    RANDOM: GREY,
}
MARKS = {
    DCAM: "-",
    CAM: "-",
    GRAD_CAM: "--",
    FINER: (0, (1, 1)),
    RANDOM_WEIGHTS: (0, (5, 1)),
    SHUFFLED: (0, (3, 1, 1, 1)),
    DENSITY: "-.",
    RANDOM: ":",
}
RUN_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
FONT = 10
Dots = Mapping[int, Estimate]


def draw_layer(axes: Axes, view: Slice, rank_RC: Floats) -> None:
    """A map over the CT, by rank, in the lungs."""
    style.draw_over_lungs(axes, view, style.heat()(rank_RC))


def draw_target(axes: Axes, view: Slice, share_RC: Floats) -> None:
    """What is to be found, in one colour over the CT, the denser the larger its share."""
    colours = np.zeros((*share_RC.shape, 4))
    colours[..., :3] = [int(SKY[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    colours[..., 3] = 0.9 * np.clip(share_RC, 0, 1)
    style.draw_over_lungs(axes, view, colours)


def draw_curves(axes: Axes, run: RunMeasures, score: str, kind: str) -> None:
    """The mean curve of each map over the cases, with a 95 % bootstrap band; normal lung put in.

    Controls have no band: what they are to be compared with has one.
    """
    share = np.linspace(0, 100, STEPS)
    for method in run.reported[0].curves:
        ordered = [case for case in run.reported if case.curves[method]]
        if not ordered:
            continue
        curve_NS = np.array([_curve(case, method, score, kind) for case in ordered])
        colour = COLOURS[method]
        if method not in CONTROLS and len(ordered) >= LEAST_FOR_INTERVAL:
            axes.fill_between(share, *_band(curve_NS, run), color=colour, alpha=0.15, linewidth=0)
        title = "dCAM or CAM" if method in (DCAM, CAM) else TITLES[method]
        axes.plot(share, curve_NS.mean(axis=0), color=colour, linestyle=MARKS[method], linewidth=2, label=title)
    axes.set_xlabel(f"lung {'replaced' if kind == 'deletion' else 'put back'}, %", fontsize=FONT)
    axes.set_ylabel({"probability": "probability", "margin": "margin to the centroid"}[score], fontsize=FONT)
    _quiet(axes)


def draw_grades(axes: Axes, runs: Mapping[str, RunMeasures]) -> None:
    """AUPRC by grade as dots with intervals, chance as a bar; of cases without grades, all of them together."""
    first = next(iter(runs.values()))
    target = LESIONS if any(LESIONS in run.targets for run in runs.values()) else "laa950"
    chance = _dots(first, lambda case: chance_of(case, target))
    chance = {grade: found for grade, found in chance.items() if found.n}
    series = {f"{TITLES[run.own]}, {name}": (run, run.own) for name, run in runs.items()}
    series |= {f"Grad-CAM, {name}": (run, GRAD_CAM) for name, run in runs.items()}
    series |= {TITLES[method]: (first, method) for method in (DENSITY, RANDOM)}
    for place, grade in enumerate(chance):
        level, ends = chance[grade].median, [place - 0.42, place + 0.42]
        axes.plot(ends, [level, level], color="black", linewidth=2, label=_once("chance", place))
    for number, (title, (run, method)) in enumerate(series.items()):
        dots = _dots(run, lambda case, method=method: case.values[method].get(f"auprc/{target}", float("nan")))  # type: ignore[misc]
        offset = 0.7 * ((number + 0.5) / len(series) - 0.5)
        _draw_dots(axes, [dots[grade] for grade in chance], offset, _look(method, run), title)
    names = [f"{first.label_names[grade] if grade >= 0 else 'all'}\nn = {chance[grade].n}" for grade in chance]
    axes.set_xticks(range(len(names)), [name.replace("advanced ", "advanced\n") for name in names], fontsize=FONT)
    axes.set_ylabel(f"AUPRC, {TARGETS[target]}", fontsize=FONT)
    axes.set_ylim(0, 1.15)  # room for the legend
    axes.legend(fontsize=FONT - 1, frameon=False, loc="upper left", ncols=2)
    axes.set_title(f"Do the maps point at {TARGETS[target]}?", fontsize=FONT + 1)
    _quiet(axes)


def draw_similarity(axes: Axes, runs: Mapping[str, RunMeasures]) -> None:
    """|Spearman| of each run's map with itself while its stages are randomized from the head down."""
    for number, ((name, run), colour, mark) in enumerate(zip(runs.items(), RUN_COLOURS, "osD^vP", strict=False)):
        stages = list(run.reported[0].similarity)
        found = [
            over_cases(run, lambda case, stage=stage: abs(case.similarity[stage]["spearman"]))  # type: ignore[misc]
            for stage in stages
        ]
        place = np.linspace(0, 1, len(stages))
        low, high = zip(*((one.low, one.high) for one in found), strict=True)
        axes.fill_between(place, low, high, color=colour, alpha=0.15, linewidth=0)
        title = f"{TITLES[run.own]}, {name}: {len(stages)} stages"
        axes.plot(place, [one.median for one in found], color=colour, marker=mark, linewidth=2, label=title)
        _draw_chance(axes, run, colour, "///" if number % 2 == 0 else "\\\\\\", f"two random networks, {name}")
    axes.axhline(UNCHANGED, color=GREY, linestyle=":", linewidth=1.5)
    axes.text(1, UNCHANGED + 0.015, "unchanged above", fontsize=FONT - 1, color="#555555", ha="right")
    axes.set_xticks([0, 1], ["head\nalone", "all\nstages"], fontsize=FONT)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("|Spearman| with the map itself", fontsize=FONT)
    axes.set_title("Randomized weights: does the map change?", fontsize=FONT + 1)
    axes.legend(fontsize=FONT - 1, frameon=False, loc="best")
    _quiet(axes)


def _draw_chance(axes: Axes, run: RunMeasures, colour: str, hatch: str, title: str) -> None:
    """How alike maps are that show nothing learnt, hatched: a map within it tells no more."""
    chance = chance_similarity(run)
    band = axes.fill_between([-0.04, 1.04], chance.low, chance.high, label=title)
    band.set(facecolor="none", edgecolor=colour, hatch=hatch, linewidth=0, alpha=0.4)


def _draw_dots(axes: Axes, dots: list[Estimate], offset: float, look: tuple[str, str, str], title: str) -> None:
    colour, mark, face = look
    place = np.arange(len(dots)) + offset
    for x, one in zip(place, dots, strict=True):
        axes.plot([x, x], [one.low, one.high], color=colour, linewidth=1.8)
    median = [one.median for one in dots]
    axes.plot(place, median, mark, color=colour, markerfacecolor=face, markersize=7, linestyle="none", label=title)


def _look(method: str, run: RunMeasures) -> tuple[str, str, str]:
    """Colour and mark of a method; hollow for the coarse maps of a baseline."""
    colour, coarse = COLOURS[method], run.own == CAM and method in (CAM, GRAD_CAM)
    mark = {DCAM: "o", CAM: "o", GRAD_CAM: "s", DENSITY: "^", RANDOM: "X"}[method]
    return colour, mark, "white" if coarse else colour


def _dots(run: RunMeasures, value: Callable[[CaseMeasures], float]) -> Dots:
    if all(case.label == UNASSIGNED for case in run.reported):
        return {UNASSIGNED: over_cases(run, value)}
    return by_grade(run, value)


def _curve(case: CaseMeasures, method: str, score: str, kind: str) -> NDArray[np.float64]:
    both = case.curves[method]["normal"]
    curve_S: NDArray[np.float64] = getattr(both, f"{kind}_SM")[:, SCORES.index(score)]
    return curve_S


def _band(curve_NS: NDArray[np.float64], run: RunMeasures) -> NDArray[np.float64]:
    rng = np.random.default_rng(run.seed)
    drawn = rng.integers(len(curve_NS), size=(run.bootstrap, len(curve_NS)))
    band: NDArray[np.float64] = np.percentile(curve_NS[drawn].mean(axis=1), [2.5, 97.5], axis=0)
    return band


def _once(title: str, place: int) -> str:
    return title if place == 0 else f"_{title}"


def _quiet(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
