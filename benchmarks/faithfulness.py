"""How far maps can be trusted, on generated cohorts whose lesions are known: dCAMs, the baseline's CAMs and controls.

    OMP_NUM_THREADS=1 python -m benchmarks.faithfulness --out OUT [--results DIR] [--seeds 701 702 703] [--jobs 2]

A seed makes its own cohort and its own trainings of both methods. No choice of
the generator, of the methods or of the measures was made on these seeds. All test cases of all seeds are reported
together; directions and thresholds are decided within each seed, on its training cases. Writes study.json (every
number of every case), study.md and figure.png into DIR, else into OUT.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.launched import Launched, train_command
from benchmarks.phantom_study import CONFIG, METHODS, machine
from dcam_dist.config import load_config
from dcam_dist.ingest import ingest
from dcam_dist.maps.faithfulness import RunMeasures, faithfulness, read_run
from dcam_dist.maps.faithfulness.example import Example, choose, make_example
from dcam_dist.maps.faithfulness.explain import SHUFFLED
from dcam_dist.maps.faithfulness.figure import write_figure
from dcam_dist.maps.faithfulness.files import run_to_json
from dcam_dist.maps.faithfulness.report import render
from dcam_dist.maps.faithfulness.summary import by_case, chance_of, difference
from dcam_dist.maps.faithfulness.targets import LESIONS, find_lesions
from dcam_dist.maps.faithfulness.text import plain, signed, table
from dcam_dist.maps.faithfulness.verdicts import CONTROLS, chance_similarity, end_similarity, share
from dcam_dist.maps.faithfulness.write import JSON_FILE
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.runs import open_cohort_of, restore_run

FIGURE = "figure.png"
LONGEST_S = 3600.0
SEED_COLUMNS = (
    "head agrees",
    "AUPRC, lesions, less chance",
    "less a shuffled head",
    *(f"insertion less deletion, probability, normal, less {name}" for name in CONTROLS.values()),
    "size of ρ, all weights randomized",
    "size of ρ, two random networks",
)
SMOKE_SETTINGS = (
    "grid.shape=[16,32,32]",
    "network.filters=4",
    "training.epochs=1",
    "training.passes=1",
    "clustering.clusters=2",
    "evaluation.bootstrap=50",
)


def main(given: Sequence[str] | None = None) -> None:
    """Make and measure the trainings; what is there already is not made again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[701, 702, 703])
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="trainings that are made and measured at once")
    parser.add_argument("--smoke", action="store_true", help="tiny trainings: shows that it runs, nothing else")
    arguments = parser.parse_args(given)
    settings = SMOKE_SETTINGS if arguments.smoke else ()
    places = [Place(arguments.out / f"seed-{seed}", seed, arguments.ranks, settings) for seed in arguments.seeds]
    for place in places:
        make_cohort(place, arguments.cases)
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        missing = [(place, method) for place in places for method in METHODS if not finished(place, method).is_file()]
        waiting = [pool.submit(measure, *one) for one in missing]
        for one in as_completed(waiting):
            print(one.result(), flush=True)
    write_study(arguments.out, arguments.results or arguments.out, arguments.seeds, arguments.cases)


@dataclass(frozen=True)
class Place:
    """Where a seed's cohort and trainings are, and how they are made."""

    folder: Path
    seed: int
    ranks: int
    settings: Sequence[str]

    @property
    def scans(self) -> Path:
        """The generated scans and their lesion masks."""
        return self.folder / "scans"

    @property
    def given(self) -> list[str]:
        """The settings that both methods share."""
        return [*self.settings, f"seed={self.seed}", f"data.cohort={self.folder / 'cohort.zarr'}"]


def make_cohort(place: Place, cases: int) -> None:
    """One cohort, for both trainings."""
    if not (place.scans / "cases.csv").is_file():
        write_phantom_cohort(place.scans, cases=cases, seed=place.seed, format="nifti")
    ingest([place.scans / "cases.csv"], place.folder / "cohort.zarr", config=load_config(CONFIG, place.given))


def finished(place: Place, method: str) -> Path:
    """What is there once a training is measured."""
    return place.folder / method / JSON_FILE


def measure(place: Place, method: str) -> str:
    """One training, measured; says which."""
    run = place.folder / method
    arguments = ["--config", str(CONFIG), *place.given, f"method={method}", f"output={run}"]
    command = train_command(arguments, ranks=place.ranks, launcher="launch")
    started = Launched(command, place.folder / f"{method}.log")
    if started.wait(LONGEST_S) != [0]:
        raise RuntimeError(started.said)
    faithfulness([run], lesions=place.scans)
    return f"seed {place.seed}, {method}: done"


def write_study(out: Path, results: Path, seeds: Sequence[int], cases: int) -> None:
    """Put the seeds together."""
    found = {
        seed: {method: read_run(out / f"seed-{seed}" / method / JSON_FILE) for method in METHODS} for seed in seeds
    }
    together = {method: pooled({seed: by_method[method] for seed, by_method in found.items()}) for method in METHODS}
    tree = {
        "cases": cases,
        "config": CONFIG.name,
        "seeds": {str(seed): {name: run_to_json(run) for name, run in runs.items()} for seed, runs in found.items()},
        "together": {method: run_to_json(run)["estimates"] for method, run in together.items()},
        **machine(),
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "study.json").write_text(json.dumps(tree, separators=(",", ":"), allow_nan=False) + "\n")
    (results / "study.md").write_text(report(together, found, tree))
    write_figure(together, examples(out / f"seed-{seeds[0]}", found[seeds[0]]), results / FIGURE)


def pooled(by_seed: Mapping[int, RunMeasures]) -> RunMeasures:
    """The cases of all seeds as of one run; ids bear the seed, and the rules stay those of each seed."""
    first = next(iter(by_seed.values()))
    cases = [replace(case, case_id=f"{seed}/{case.case_id}") for seed, run in by_seed.items() for case in run.cases]
    rules = {key: tuple(rule for run in by_seed.values() for rule in run.rules.get(key, ())) for key in first.rules}
    normal_hu = median(run.normal_hu for run in by_seed.values())
    return replace(first, cases=tuple(cases), rules=rules, normal_hu=normal_hu)


def examples(folder: Path, runs: Mapping[str, RunMeasures]) -> list[Example]:
    """The scans that the figure shows, of one seed."""
    restored = {method: restore_run(folder / method) for method in METHODS}
    cohort = open_cohort_of(restored[METHODS[0]])
    lesions = find_lesions(folder / "scans", cohort)
    looked = {method: (restored[method], runs[method]) for method in METHODS}
    return [make_example(looked, cohort, case_id, lesions) for case_id in choose(runs[METHODS[0]].reported, LESIONS)]


def report(
    together: Mapping[str, RunMeasures], by_seed: Mapping[int, Mapping[str, RunMeasures]], tree: Mapping[str, Any]
) -> str:
    """The report of all seeds together, and what differs between them."""
    lines = [
        f"`configs/{tree['config']}`, {tree['cases']} generated cases a seed, seeds "
        f"{', '.join(map(str, by_seed))}: test cases of all seeds together, rules within each seed.",
        "",
        render(together, FIGURE),
        "## Seed by seed",
        "",
        "Medians over the test cases of each seed, a training of each method: how far the lines of a method are apart "
        "is the training's own variation, which no interval above contains.",
        "",
        table(["training", "n", *SEED_COLUMNS], [_seed_row(*one) for one in _trainings(by_seed)]),
        "",
        f"Hardware: {tree['cpu']}, {tree['cores']} cores; {tree['versions']}.",
    ]
    return "\n".join(lines) + "\n"


def _trainings(by_seed: Mapping[int, Mapping[str, RunMeasures]]) -> list[tuple[str, RunMeasures]]:
    return [(f"{method}, {seed}", by_seed[seed][method]) for method in METHODS for seed in by_seed]


def _seed_row(title: str, run: RunMeasures) -> list[str]:
    """One training: agreement with the head, differences to chance and controls, and similarity."""
    auprc, gap = f"auprc/{LESIONS}", "gap/normal/probability"
    chance = {case.case_id: chance_of(case, LESIONS) for case in run.reported}
    others = [chance, by_case(run, SHUFFLED, auprc), *(by_case(run, one, gap) for one in CONTROLS)]
    own = [by_case(run, run.own, auprc)] * 2 + [by_case(run, run.own, gap)] * len(CONTROLS)
    found = [difference(*both, run.bootstrap, run.seed).median for both in zip(own, others, strict=True)]
    ends = (end_similarity(run).median, chance_similarity(run).median)
    agree = share(sum(case.head_agrees for case in run.reported), len(run.reported))
    return [title, str(len(run.reported)), agree, *map(signed, found), *map(plain, ends)]


if __name__ == "__main__":
    main()
