"""The report in Markdown: what was asked, the numbers with their intervals, and what may be concluded."""

from collections.abc import Mapping

from dcam_dist.maps.faithfulness.explain import DCAM, DENSITY, GRAD_CAM, RANDOM, TITLES
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.summary import (
    Estimate,
    by_case,
    by_grade,
    chance_of,
    differences,
    estimate,
    measures_of,
    over_cases,
)
from dcam_dist.maps.faithfulness.targets import LESIONS
from dcam_dist.maps.faithfulness.targets import TITLES as TARGETS
from dcam_dist.maps.faithfulness.text import NONE, cell, difference_cell, plain, table
from dcam_dist.maps.faithfulness.verdicts import invariant_line, share, verdicts
from dcam_dist.types import UNASSIGNED

Runs = Mapping[str, RunMeasures]
READ = "Median over the cases with a 95 % bootstrap interval; n cases, fewer where a number is not defined in all."
GAPS = {
    f"gap/{part}/{score}": f"{score}, {part}" for part in ("normal", "blurred") for score in ("probability", "margin")
}


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
        *_agreement(runs),
        *_by_grade(runs),
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
    agrees = share(sum(case.head_agrees for case in reported), len(reported))
    line = (
        f"{name}: {len(run.names.titles)} classes; {len(reported)} {run.split} cases are reported, "
        f"{fitted} training cases decided directions and thresholds. All maps explain the scan's {run.names.kind}, "
        f"the head's answer too in {agrees}. Normal lung: {plain(run.normal_hu, 0)} HU."
    )
    return line if run.split == "test" else f"{line} There is no test case: these cases decided the rules too."


def _agreement(runs: Runs) -> list[str]:
    targets = dict.fromkeys(target for run in runs.values() for target in run.targets)
    parts = ["## Do the maps point at emphysema?"]
    if LESIONS not in targets:
        parts.append("Lesions: no masks were given (`--lesions`), so this part is left out.")
    for target in targets:
        head = ["map", "n", "AUPRC by the rule", "as it is", "inverted", "Dice by the rule", "Spearman, as it is"]
        rows = [row for name, run in runs.items() for row in _agreement_rows(name, run, target)]
        bounds = [row for run in runs.values() for row in _bounds(run, target)]
        rows += [row for place, row in enumerate(bounds) if row not in bounds[:place]]
        parts += [f"**Target: {TARGETS[target]}**", table([*head, "classes read inverted"], rows)]
    return parts


def _agreement_rows(name: str, run: RunMeasures, target: str) -> list[list[str]]:
    rows = []
    for method in run.methods:
        names = (f"auprc/{target}", f"auprc/{target}/forward", f"auprc/{target}/inverted", f"dice/{target}")
        found = [_measured(run, method, measure) for measure in (*names, f"spearman/{target}")]
        inverted = sum(rule.sign < 0 for rule in run.rules[method, target])
        cells = [str(found[0].n), *(cell(one, 3) for one in found), f"{inverted} of {len(run.rules[method, target])}"]
        rows.append([f"{name}: {TITLES[method]}", *cells])
    return rows


def _bounds(run: RunMeasures, target: str) -> list[list[str]]:
    """What AUPRC is by chance, and what it can be at most; of runs on the same cases the same."""
    chance = over_cases(run, lambda case: chance_of(case, target))
    best = over_cases(run, lambda case: case.ceiling.get(target, float("nan")))
    return [
        ["chance", str(chance.n), *[cell(chance, 3)] * 3, *[NONE] * 3],
        ["best on this grid", str(best.n), *[cell(best, 3)] * 2, *[NONE] * 4],
    ]


def _by_grade(runs: Runs) -> list[str]:
    target = LESIONS if any(LESIONS in run.targets for run in runs.values()) else "laa950"
    heading = f"## AUPRC by grade, {TARGETS[target]}"
    if all(case.label == UNASSIGNED for run in runs.values() for case in run.reported):
        return [heading, "The cohort has no grades, so this part is left out."]
    columns: dict[str, Mapping[int, Estimate]] = {}
    for name, run in runs.items():
        columns |= {f"{name}: {TITLES[m]}": _grades(run, m, target) for m in (run.own, GRAD_CAM)}
    run = next(iter(runs.values()))
    columns |= {TITLES[method]: _grades(run, method, target) for method in (DENSITY, RANDOM)}
    chance = by_grade(run, lambda case: chance_of(case, target))
    rows = [
        [run.label_names[grade], str(found.n), cell(found)]
        + [cell(by[grade]) if grade in by else NONE for by in columns.values()]
        for grade, found in chance.items()
    ]
    return [heading, table(["grade", "n", "chance", *columns], rows)]


def _grades(run: RunMeasures, method: str, target: str) -> Mapping[int, Estimate]:
    return by_grade(run, lambda case: case.values[method].get(f"auprc/{target}", float("nan")))


def _perturbation(runs: Runs) -> list[str]:
    measures = [one for one in GAPS if any(one in measures_of(run, run.own) for run in runs.values())]
    gaps, areas = [], []
    parts = [f"{kind}/normal/{score}" for score in ("probability", "margin") for kind in ("deletion", "insertion")]
    parts = [one for one in parts if any(one in measures_of(run, run.own) for run in runs.values())]
    for name, run in runs.items():
        for method in (method for method in run.methods if measures_of(run, method) and _curved(run, method)):
            title = f"{name}: {TITLES[method]}"
            gaps.append([title, *(cell(_measured(run, method, one)) for one in measures)])
            areas.append([title, *(cell(_measured(run, method, one)) for one in parts)])
    return [
        "## Does the score rest on what the maps mark?",
        "Insertion less deletion, areas under the curves of the score: 0 for an order at random, more for a better "
        "one. `normal`: lung is replaced by the training cases' median; `blurred`: by the scan's own lung, smoothed.",
        table(["map", *(GAPS[one] for one in measures)], gaps),
        "The areas themselves, normal lung put in: deletion should be small and insertion large.",
        table(["map", *(_area_title(one) for one in parts)], areas),
    ]


def _curved(run: RunMeasures, method: str) -> bool:
    return "gap/normal/probability" in measures_of(run, method)


def _area_title(measure: str) -> str:
    kind, _, score = measure.split("/")
    return f"{kind}, {score}"


def _randomized(runs: Runs) -> list[str]:
    parts = [
        "## Do the maps notice when the weights are given back to chance?",
        "The map against itself while the network's stages are randomized one after the other, from the head down. "
        "A map that stays alike does not show what was learnt. Spearman's ρ, its size without the sign, and SSIM.",
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
            cells = [difference_cell(by_measure[one], 3) if one in by_measure else NONE for one in measures]
            rows.append([f"{other}: {TITLES[method]}", *cells])
    head = f"{name}: {TITLES[first.own]}, less"
    return [
        "## Case by case",
        "Median of the differences over the same cases, its interval, and Wilcoxon's signed-rank test; no correction "
        "for how many there are. Of two runs, each map is judged by its own network.",
        table([head, *titles], rows),
    ]


def _reference(runs: Runs) -> tuple[str, RunMeasures]:
    return next(((name, run) for name, run in runs.items() if run.own == DCAM), next(iter(runs.items())))


def _measured(run: RunMeasures, method: str, measure: str) -> Estimate:
    return estimate(by_case(run, method, measure).values(), run.bootstrap, run.seed)
