"""What a reader may conclude, one sentence a question, from the intervals alone."""

from collections.abc import Mapping

import numpy as np

from dcam_dist.maps.faithfulness.explain import DENSITY, RANDOM, RANDOM_WEIGHTS, SHUFFLED, TITLES
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.summary import (
    Difference,
    Estimate,
    by_case,
    chance_of,
    difference,
    estimate,
    over_cases,
    scores_of,
    unordered,
)
from dcam_dist.maps.faithfulness.targets import LONG
from dcam_dist.maps.faithfulness.text import WORTH, apart, cell, difference_text, listed, whole

UNCHANGED = 0.5
"""A map whose median |Spearman| with itself, after all weights were given back to chance, is this or more stays alike
whatever was learnt."""
INVARIANT = 1e-3
"""In logits: the largest departure of a dCAM's lung mean that rounding explains."""
CONTROLS: Mapping[str, str] = {
    RANDOM: "smoothed noise",
    RANDOM_WEIGHTS: "random weights",
    SHUFFLED: "a shuffled head",
}
"""What ought to fail: a map that is no better than all of these shows nothing that was learnt of the class."""
Found = Mapping[str, Difference]


def verdicts(runs: Mapping[str, RunMeasures]) -> list[str]:
    """The sentences, run by run."""
    return [f"{name}, {TITLES[run.own]}: {line}" for name, run in runs.items() for line in _of_run(run)]


def _of_run(run: RunMeasures) -> list[str]:
    return [
        *([belonging(run)] if run.names.kind == "cluster" else []),
        *(pointing(run, target) for target in run.targets),
        *(ordering(run, part, score) for score in scores_of(run) for part in ("normal", "blurred")),
        noticing(run),
    ]


def belonging(run: RunMeasures) -> str:
    """Whether the maps, which are of the head, are of the cluster that they are shown for."""
    agree, reported = sum(case.head_agrees for case in run.reported), len(run.reported)
    line = f"the head prefers the scan's cluster, which the maps explain, in {share(agree, reported)}"
    if 2 * agree >= reported:
        return f"{line}."
    return f"{line}: these maps are of the head, which prefers another cluster. All that follows is to be read so."


def pointing(run: RunMeasures, target: str) -> str:
    """Against chance, against what ought to fail, against the density itself, and how far of what is possible."""
    measure = f"auprc/{target}"
    own = by_case(run, run.own, measure)
    chance = {case.case_id: chance_of(case, target) for case in run.reported}
    best = {case.case_id: case.ceiling.get(target, float("nan")) for case in run.reported}
    found = {"chance": difference(own, chance, run.bootstrap, run.seed), **_controls(run, measure)}
    way = [(own[one] - chance[one]) / (best[one] - chance[one]) for one in own if best[one] > chance[one]]
    covered = estimate((100 * part for part in way), run.bootstrap, run.seed)
    if not covered.n:
        return f"no case has {LONG[target]}, so nothing is said of them."
    return (
        f"{_points(found, LONG[target])}. AUPRC, less that of "
        f"{_numbers({**found, '−HU': _between(run, DENSITY, measure)})}, n = {covered.n}. It goes {cell(covered)} % of "
        "the way from chance to the best that this grid allows, read in the direction that the training cases chose."
    )


def ordering(run: RunMeasures, replacement: str, score: str) -> str:
    """Whether its order of the voxels moves the score more than what ought to fail does."""
    found = _controls(run, f"gap/{replacement}/{score}")
    n, still = found[CONTROLS[RANDOM]].n, unordered(run, run.own)
    words = {"normal": "normal lung", "blurred": "blurred lung"}[replacement]
    left_out = f" The map does not vary in {share(still, len(run.reported))}, left out here." if still else ""
    if not n:
        return f"{score}, {words} put in: cannot be judged.{left_out}"
    return (
        f"{score}, {words} put in: {_rests(found)}. Insertion less deletion, less that of {_numbers(found)}, "
        f"n = {n}.{left_out}"
    )


def noticing(run: RunMeasures) -> str:
    """Whether it changes with the weights, and whether more than what has learnt nothing does."""
    found, total = end_similarity(run), len(run.reported)
    still = f"the map, or that of the random network, does not vary in {share(total - found.n, total)}"
    if 2 * found.n < total:
        return f"whether it changes with the weights cannot be judged: {still}."
    verdict = "it does not change with the weights" if found.median >= UNCHANGED else "it changes with the weights"
    head = over_cases(run, lambda case: abs(next(iter(case.similarity.values()))["spearman"]))
    excess = difference(_ends(run), _chances(run), run.bootstrap, run.seed)
    left_out = f" Left out: {still}." if found.n < total else ""
    return (
        f"{verdict}: |ρ| with itself after all of them were randomized is {cell(found)}, {_alike(excess)} the "
        f"{cell(chance_similarity(run))} between two networks that have learnt nothing ({difference_text(excess)}). "
        "A map that changes is no copy of the scan; that it shows what was learnt is not said by that. After the head "
        f"alone, which tells the classes apart, it is {cell(head)}.{left_out}"
    )


def end_similarity(run: RunMeasures) -> Estimate:
    """|Spearman| of a map with that of the wholly randomized network."""
    return estimate(_ends(run).values(), run.bootstrap, run.seed)


def chance_similarity(run: RunMeasures) -> Estimate:
    """|Spearman| of the maps of two networks that have learnt nothing."""
    return estimate(_chances(run).values(), run.bootstrap, run.seed)


def invariant_line(name: str, run: RunMeasures) -> str:
    """Whether the lung mean of the maps is the logit."""
    largest = max((case.invariant for case in run.cases), default=float("nan"))
    if np.isnan(largest):
        return f"{name}: the maps are interpolated, so their lung mean is the logit before that alone."
    kept = "holds" if largest <= INVARIANT else "does NOT hold"
    return f"{name}: lung mean of the dCAM = logit {kept}: largest difference {largest:.1e} in {len(run.cases)} cases."


def share(part: int, whole_count: int) -> str:
    """A count of a count, with percent."""
    return f"{part} of {whole_count} ({whole(100 * part / whole_count)} %)" if whole_count else "none"


def _ends(run: RunMeasures) -> dict[str, float]:
    return {case.case_id: abs(list(case.similarity.values())[-1]["spearman"]) for case in run.reported}


def _chances(run: RunMeasures) -> dict[str, float]:
    return {case.case_id: abs(case.chance_similarity) for case in run.reported}


def _controls(run: RunMeasures, measure: str) -> Found:
    return {name: _between(run, method, measure) for method, name in CONTROLS.items()}


def _between(run: RunMeasures, other: str, measure: str) -> Difference:
    return difference(by_case(run, run.own, measure), by_case(run, other, measure), run.bootstrap, run.seed)


def _points(found: Found, target: str) -> str:
    if all(_better(one) for one in found.values()):
        return f"it points at {target}{_by_little(found)}"
    away = "; it points away from them" if _worse(found["chance"]) else ""
    return f"that it points at {target} is not shown: {_as_good(found)}{away}"


def _rests(found: Found) -> str:
    if all(_better(one) for one in found.values()):
        return f"some of the score rests on what it marks{_by_little(found)}"
    if _worse(found[CONTROLS[RANDOM]]):
        return "what it marks speaks against the class"
    return f"that the score rests on what it marks is not shown: {_as_good(found)}"


def _by_little(found: Found) -> str:
    return f", by less than {WORTH}" if min(one.median for one in found.values()) < WORTH else ""


def _as_good(found: Found) -> str:
    """Names what the map is not better than."""
    ahead = [name for name, one in found.items() if _worse(one)]
    level = [name for name, one in found.items() if not _worse(one) and not _better(one)]
    parts = [f"it is worse than {listed(ahead)}"] if ahead else []
    return ", ".join([*parts, *([f"it is no better than {listed(level)}"] if level else [])])


def _numbers(found: Found) -> str:
    return "; ".join(f"{name}: {difference_text(one)}" for name, one in found.items())


def _alike(found: Difference) -> str:
    if not apart(found):
        return "not to be told from"
    return "more than" if found.median > 0 else "less than"


def _better(found: Difference) -> bool:
    return apart(found) and found.median > 0


def _worse(found: Difference) -> bool:
    return apart(found) and found.median <= -WORTH
