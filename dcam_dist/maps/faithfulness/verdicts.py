"""What a reader may conclude, one sentence a question, from the intervals alone."""

from collections.abc import Mapping

import numpy as np

from dcam_dist.maps.faithfulness.explain import DENSITY, RANDOM, TITLES
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.summary import (
    Difference,
    Estimate,
    by_case,
    chance_of,
    difference,
    estimate,
    measures_of,
    over_cases,
)
from dcam_dist.maps.faithfulness.targets import LESIONS
from dcam_dist.maps.faithfulness.targets import TITLES as TARGETS
from dcam_dist.maps.faithfulness.text import apart, cell, difference_cell, plain

UNCHANGED = 0.5
"""A map whose median |Spearman| with itself, after all weights were given back to chance, is this or more fails."""
INVARIANT = 1e-3
"""In logits: the largest departure of a dCAM's lung mean that rounding explains."""


def verdicts(runs: Mapping[str, RunMeasures]) -> list[str]:
    """The sentences, run by run."""
    return [line for name, run in runs.items() for line in _of_run(name, run)]


def _of_run(name: str, run: RunMeasures) -> list[str]:
    own = f"{name}, {TITLES[run.own]}"
    lines = [f"{own}: {pointing(run, target)}" for target in run.targets if target in (LESIONS, "laa950")]
    scores = [score for score in ("probability", "margin") if f"gap/normal/{score}" in measures_of(run, run.own)]
    lines += [f"{own}: {ordering(run, part, score)}" for score in scores for part in ("normal", "blurred")]
    return [*lines, f"{own}: {noticing(run)}"]


def pointing(run: RunMeasures, target: str) -> str:
    """Against chance, against the density itself, and how far of what is possible."""
    measure = f"auprc/{target}"
    own = by_case(run, run.own, measure)
    chance = {case.case_id: chance_of(case, target) for case in run.reported}
    best = {case.case_id: case.ceiling.get(target, float("nan")) for case in run.reported}
    over_chance = difference(own, chance, run.bootstrap, run.seed)
    over_density = _between(run, run.own, DENSITY, measure)
    way = [(own[one] - chance[one]) / (best[one] - chance[one]) for one in own if best[one] > chance[one]]
    covered = estimate((100 * part for part in way), run.bootstrap, run.seed)
    return (
        f"it points at {_target(target)} {_better(over_chance, 'chance', 3)}, "
        f"and {_better(over_density, '−HU', 3)}; it goes {cell(covered, 1)} % of the way from chance to the best that "
        "this grid allows. It is read in the direction that the training cases chose."
    )


def ordering(run: RunMeasures, replacement: str, score: str) -> str:
    """Whether its order of the voxels moves the score more than noise does."""
    found = _between(run, run.own, RANDOM, f"gap/{replacement}/{score}")
    means = "that the score rests on what it marks is not shown"
    if apart(found):
        means = (
            "some of the score rests on what it marks" if found.median > 0 else "what it marks speaks against the class"
        )
    words = {"normal": "normal lung", "blurred": "blurred lung"}[replacement]
    return f"with {words} put in, insertion less deletion of the {score} is {_better(found, 'noise')}: {means}."


def noticing(run: RunMeasures) -> str:
    """Whether it changes with the weights."""
    found = end_similarity(run)
    verdict = "it fails the sanity check" if found.median >= UNCHANGED else "it passes the sanity check"
    head = over_cases(run, lambda case: abs(next(iter(case.similarity.values()))["spearman"]))
    return (
        f"{verdict}: |ρ| with itself after all weights were randomized is {cell(found)} (fails from {UNCHANGED}); "
        f"after the head alone, which is what tells the classes apart, {cell(head)}."
    )


def end_similarity(run: RunMeasures) -> Estimate:
    """|Spearman| of a map with that of the wholly randomized network."""
    return over_cases(run, lambda case: abs(list(case.similarity.values())[-1]["spearman"]))


def invariant_line(name: str, run: RunMeasures) -> str:
    """Whether the lung mean of the maps is the logit."""
    largest = max((case.invariant for case in run.cases), default=float("nan"))
    if np.isnan(largest):
        return f"{name}: the maps are interpolated, so their lung mean is the logit before that alone."
    kept = "holds" if largest <= INVARIANT else "does NOT hold"
    return f"{name}: lung mean of the dCAM = logit {kept}: largest difference {largest:.1e} in {len(run.cases)} cases."


def _between(run: RunMeasures, first: str, second: str, measure: str) -> Difference:
    return difference(by_case(run, first, measure), by_case(run, second, measure), run.bootstrap, run.seed)


def _better(found: Difference, than: str, digits: int = 2) -> str:
    if not found.n:
        return f"in no case that could be compared with {than}"
    word = ("better than" if found.median > 0 else "worse than") if apart(found) else "no better or worse than"
    return f"{word} {than} ({difference_cell(found, digits).replace('*', '')}, n = {found.n})"


def _target(target: str) -> str:
    return "lesions" if target == LESIONS else f"voxels {TARGETS[target]}"


def share(part: int, whole: int) -> str:
    """A count of a count, with percent."""
    return f"{part} of {whole} ({plain(100 * part / whole, 0)} %)" if whole else "none"
