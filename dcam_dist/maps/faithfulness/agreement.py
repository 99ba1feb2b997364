"""The report's tables on what the maps point at."""

from collections.abc import Mapping

from dcam_dist.maps.faithfulness.explain import DENSITY, GRAD_CAM, RANDOM, RANDOM_WEIGHTS, SHUFFLED, TITLES
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.overlap import LEAST_CASES
from dcam_dist.maps.faithfulness.summary import Estimate, by_case, by_grade, chance_of, difference, measured, over_cases
from dcam_dist.maps.faithfulness.targets import LESIONS, LONG
from dcam_dist.maps.faithfulness.targets import TITLES as TARGETS
from dcam_dist.maps.faithfulness.text import NONE, cell, difference_cell, table
from dcam_dist.types import UNASSIGNED

Runs = Mapping[str, RunMeasures]


def agreement(runs: Runs) -> list[str]:
    """A table for each target, with how each map is read."""
    targets = dict.fromkeys(target for run in runs.values() for target in run.targets)
    parts = ["## Do the maps point at emphysema?"]
    if LESIONS not in targets:
        parts.append("Lesions: no masks were given (`--lesions`), so this part is left out.")
    for target in targets:
        head = [
            "map",
            "n",
            "AUPRC by the rule",
            "less chance",
            "as it is",
            "inverted",
            "Dice by the rule",
            "Spearman, as it is",
        ]
        rows = [row for name, run in runs.items() for row in _rows(name, run, target)]
        bounds = [row for run in runs.values() for row in _bounds(run, target)]
        rows += [row for place, row in enumerate(bounds) if row not in bounds[:place]]
        parts += [
            "\n".join(f"- {_decided(name, run, target)}" for name, run in runs.items()),
            f"**Target: {TARGETS[target]}**",
            table([*head, "classes read inverted"], rows),
        ]
    return parts


def grades(runs: Runs) -> list[str]:
    """AUPRC and Dice by grade, of lesions where they are known, and of the voxels below −950 HU."""
    parts = ["## AUPRC and Dice by grade"]
    if all(case.label == UNASSIGNED for run in runs.values() for case in run.reported):
        return [*parts, "The cohort has no grades, so this part is left out."]
    known = dict.fromkeys(target for run in runs.values() for target in run.targets)
    for target in (LESIONS, "laa950"):
        for measure, title in (("auprc", "AUPRC"), ("dice", "Dice by the rule")):
            if target in known:
                parts += [f"**{title}, {TARGETS[target]}**", _grade_table(runs, measure, target)]
    return parts


def _rows(name: str, run: RunMeasures, target: str) -> list[list[str]]:
    rows, chance = [], {case.case_id: chance_of(case, target) for case in run.reported}
    for method in run.methods:
        names = (f"auprc/{target}", f"auprc/{target}/forward", f"auprc/{target}/inverted", f"dice/{target}")
        found = [measured(run, method, measure) for measure in (*names, f"spearman/{target}")]
        rules = run.rules[method, target]
        inverted = f"{sum(rule.sign < 0 for rule in rules)} of {len(rules)}"
        above = difference(by_case(run, method, names[0]), chance, run.bootstrap, run.seed)
        first, *others = map(cell, found)
        rows.append([f"{name}: {TITLES[method]}", str(found[0].n), first, difference_cell(above), *others, inverted])
    return rows


def _decided(name: str, run: RunMeasures, target: str) -> str:
    counts = [rule.cases for rule in run.rules[run.own, target]]
    few = sum(count < LEAST_CASES for count in counts)
    return (
        f"{name}: training cases with {LONG[target]}, {run.names.kind} by {run.names.kind}: "
        f"{', '.join(map(str, counts))}; {few} of {len(counts)} have fewer than {LEAST_CASES} and take the rule of all."
    )


def _bounds(run: RunMeasures, target: str) -> list[list[str]]:
    """What AUPRC is by chance, and what it can be at most; of runs on the same cases the same."""
    chance = over_cases(run, lambda case: chance_of(case, target))
    best = over_cases(run, lambda case: case.ceiling.get(target, float("nan")))
    return [
        ["chance", str(chance.n), cell(chance), NONE, *[cell(chance)] * 2, *[NONE] * 3],
        ["best on this grid", str(best.n), cell(best), NONE, cell(best), *[NONE] * 4],
    ]


def _grade_table(runs: Runs, measure: str, target: str) -> str:
    columns: dict[str, Mapping[int, Estimate]] = {}
    for name, run in runs.items():
        columns |= {
            f"{name}: {TITLES[method]}": _by_grade(run, method, f"{measure}/{target}")
            for method in (run.own, GRAD_CAM, RANDOM_WEIGHTS, SHUFFLED)
        }
    run = next(iter(runs.values()))
    columns |= {TITLES[method]: _by_grade(run, method, f"{measure}/{target}") for method in (DENSITY, RANDOM)}
    chance = by_grade(run, lambda case: chance_of(case, target))
    rows = [
        [run.label_names[grade], str(found.n), cell(found)]
        + [cell(by[grade]) if grade in by else NONE for by in columns.values()]
        for grade, found in chance.items()
    ]
    return table(["grade", "n", "share of the lungs", *columns], rows)


def _by_grade(run: RunMeasures, method: str, measure: str) -> Mapping[int, Estimate]:
    return by_grade(run, lambda case: case.values[method].get(measure, float("nan")))
