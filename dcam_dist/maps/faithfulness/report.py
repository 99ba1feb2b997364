"""The report in Markdown: what was asked, the numbers with their intervals, and what may be concluded."""

from collections.abc import Mapping

from dcam_dist.maps.faithfulness.agreement import agreement, grades
from dcam_dist.maps.faithfulness.case import SCORES
from dcam_dist.maps.faithfulness.explain import DCAM, TITLES
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.summary import (
    LEAST_FOR_INTERVAL,
    differences,
    measured,
    measures_of,
    over_cases,
    unordered,
)
from dcam_dist.maps.faithfulness.targets import TITLES as TARGETS
from dcam_dist.maps.faithfulness.text import NONE, WORTH, cell, difference_cell, table, whole
from dcam_dist.maps.faithfulness.verdicts import chance_similarity, invariant_line, verdicts

Runs = Mapping[str, RunMeasures]
READ = (
    "Median over the cases with a 95 % bootstrap interval; n cases, fewer where a number is not defined in all; no "
    f"interval below {LEAST_FOR_INTERVAL}. Intervals are over scans, given these networks: they do not contain what "
    "another training would change."
)
GAPS = {f"gap/{part}/{score}": f"{score}, {part}" for part in ("normal", "blurred") for score in SCORES}


def render(runs: Runs, figure: str) -> str:
    """The whole report.

    Args:
        runs: What was found of each run, by its name.
        figure: File name of the figure.
    """
    parts = [
        "# Faithfulness of the maps",
        "\n".join(f"- {_about(name, run)}" for name, run in runs.items()),
        READ,
        f"![Maps side by side, deletion and insertion, agreement by grade, randomized weights]({figure})",
        "## What may be concluded",
        "\n".join(f"- {line}" for line in verdicts(runs)),
        *agreement(runs),
        *grades(runs),
        *_perturbation(runs),
        *_randomized(runs),
        *_differences(runs),
        "## The invariant",
        "\n".join(f"- {invariant_line(name, run)}" for name, run in runs.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _about(name: str, run: RunMeasures) -> str:
    reported = run.reported
    fitted = sum(case.split == "train" for case in run.cases)
    line = (
        f"{name}: {len(run.names.titles)} classes; {len(reported)} {run.split} cases are reported, "
        f"{fitted} training cases decided directions and thresholds. All maps explain the scan's "
        f"{run.names.kind}. Normal lung: {whole(run.normal_hu)} HU."
    )
    return line if run.split == "test" else f"{line} There is no test case: these cases decided the rules too."


def _perturbation(runs: Runs) -> list[str]:
    measures = [one for one in GAPS if any(one in measures_of(run, run.own) for run in runs.values())]
    gaps, areas = [], []
    parts = [f"{kind}/normal/{score}" for score in SCORES for kind in ("deletion", "insertion")]
    parts = [one for one in parts if any(one in measures_of(run, run.own) for run in runs.values())]
    for name, run in runs.items():
        for method in (method for method in run.methods if _curved(run, method)):
            title = f"{name}: {TITLES[method]}"
            n = len(run.reported) - unordered(run, method)
            gaps.append([title, str(n), *(cell(measured(run, method, one)) for one in measures)])
            areas.append([title, *(cell(measured(run, method, one)) for one in parts)])
    return [
        "## Does the score rest on what the maps mark?",
        "Insertion less deletion, areas under the curves of the score: 0 for an order at random, more for a better "
        "one. `normal`: lung is replaced by the training cases' median; `blurred`: by the scan's own lung, smoothed. A "
        "map that does not vary in a scan has no order, and the scan is left out of its n.",
        table(["map", "n", *(GAPS[one] for one in measures)], gaps),
        "The areas themselves, normal lung put in: deletion should be small and insertion large.",
        table(["map", *(_area_title(one) for one in parts)], areas),
    ]


def _curved(run: RunMeasures, method: str) -> bool:
    return any(method in case.curves for case in run.reported)


def _area_title(measure: str) -> str:
    kind, _, score = measure.split("/")
    return f"{kind}, {score}"


def _randomized(runs: Runs) -> list[str]:
    parts = [
        "## Do the maps notice when the weights are given back to chance?",
        "The map against itself while the network's stages are randomized one after the other, from the head down. "
        "A map that stays alike does not show what was learnt; one that changes need not show it either. Spearman's ρ, "
        "its size without the sign, and SSIM. Last: the maps of two networks of this kind that have learnt nothing.",
    ]
    for name, run in runs.items():
        rows = []
        for stage in run.reported[0].similarity:
            both = [
                over_cases(run, lambda case, stage=stage, of=of: case.similarity[stage][of])  # type: ignore[misc]
                for of in ("spearman", "ssim")
            ]
            size = over_cases(run, lambda case, stage=stage: abs(case.similarity[stage]["spearman"]))  # type: ignore[misc]
            rows.append([stage, cell(both[0]), cell(size), cell(both[1])])
        chance = over_cases(run, lambda case: case.chance_similarity)
        rows.append(["two random networks", cell(chance), cell(chance_similarity(run)), NONE])
        parts.append(table([f"{name}, randomized down to", "ρ", "size of ρ", "SSIM"], rows))
    return parts


def _differences(runs: Runs) -> list[str]:
    name, first = _reference(runs)
    measures = [f"auprc/{target}" for target in first.targets]
    measures += [one for one in GAPS if one in measures_of(first, first.own)]
    titles = [GAPS.get(one, f"AUPRC, {TARGETS.get(one.removeprefix('auprc/'), '')}") for one in measures]
    rows = []
    for other, run in runs.items():
        methods = [method for method in run.methods if run is not first or method != first.own]
        found = differences(first, run, methods, measures)
        for method, by_measure in found.items():
            cells = [difference_cell(by_measure[one]) if one in by_measure else NONE for one in measures]
            rows.append([f"{other}: {TITLES[method]}", *cells])
    head = f"{name}: {TITLES[first.own]}, less"
    return [
        "## Case by case",
        "Median of the differences over the same cases, its interval, and Wilcoxon's signed-rank test; no correction "
        f"for how many there are. Bold: the interval leaves 0 out, p < 0.05, and it is {WORTH} or more. Of two runs, "
        "each map is judged by its own network.",
        table([head, *titles], rows),
    ]


def _reference(runs: Runs) -> tuple[str, RunMeasures]:
    return next(((name, run) for name, run in runs.items() if run.own == DCAM), next(iter(runs.items())))
