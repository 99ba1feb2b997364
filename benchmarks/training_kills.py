"""Kill trainings again and again until they are done, and compare them bit for bit with ones that were left alone.

    PYTHONPATH=tests python -m benchmarks.training_kills --n 200 --out DIR [--seed 0]

Half of the kills strike from outside at random moments of the work of the plain command line: all processes at once, or
one rank, whose peers and launcher must end by themselves. The other half strike at places in every phase, put in from
outside by ``tests/support/faulty_train.py``. A checkpoint is made at every step and phase, except in the trainings that
keep to the ends of epochs.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kill_chain import Blow, Kill, differences, kill_again_and_again, leave_alone
from benchmarks.launched import Launched, train_command
from benchmarks.machine import load_average, machine
from dcam_dist.config import load_config
from dcam_dist.ingest import ingest
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.types import Phase

CASES = 15
EPOCHS = 4
SETTINGS = ("grid.shape=[16,32,32]", "network.filters=4", "clustering.clusters=3")
PLACES = (
    *("extract", "volume:2", "volume:7", "extract.end", "cluster", "pca", "kmeans", "kmeans.end", "labels", "reset"),
    *("reset.end", "train", "draw", "forward", "forward:3", "backward", "backward:2", "update", "update.end"),
    *("metrics", "metrics.end", "save", "save:2", "fsync", "fsync:4", "rename", "rename:2", "rename.end", "save.end:2"),
)
"""Of ``faulty_train``, counted within one start: the first thing that it comes to, and others further on."""


@dataclass(frozen=True)
class Arm:
    """A kind of training that is killed.

    Attributes:
        ranks: Processes; more than one are started by torchrun.
        every_step: Whether a checkpoint is made at every step and phase, or at the ends of epochs only.
        alone: Whether one rank is killed at a time.
    """

    ranks: int
    every_step: bool = True
    alone: bool = False

    def __str__(self) -> str:
        kept = "every step" if self.every_step else "every epoch"
        return f"{self.ranks} rank(s), saved at {kept}{', one rank killed' if self.alone else ''}"


ARMS = (Arm(1), Arm(2), Arm(2, alone=True), Arm(1, every_step=False))
"""The last one is for random moments only: between its checkpoints lies a whole epoch."""


def main() -> None:
    """Run the campaign and write ``training_kills.json`` and ``training_kills.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began, load = time.monotonic(), load_average()

    def keep(chains: Sequence[dict[str, Any]]) -> None:
        hardware = {**machine(), "load_before": load, "load_after": load_average()}
        about = {"n": arguments.n, "seed": arguments.seed, "seconds": round(time.monotonic() - began)}
        write(arguments.out, chains, {**about, "epochs": EPOCHS, "settings": SETTINGS, "hardware": hardware})

    with tempfile.TemporaryDirectory(prefix="training-kills-") as folder:
        campaign(Path(folder), arguments.n, arguments.seed, keep)
    print((arguments.out / "training_kills.md").read_text(encoding="utf-8"))


def campaign(
    folder: Path, n: int, seed: int, keep: Callable[[Sequence[dict[str, Any]]], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Chains of kills until there are enough of either half.

    Args:
        folder: An empty one.
        n: How many kills.
        seed: Of the moments, the places and their order.
        keep: Is given the chains so far after each.

    Returns:
        One JSON-ready record a chain, with its kills.
    """
    cohort = make_cohort(folder, seed)
    rng = np.random.default_rng(seed)
    whole = {arm: undisturbed(arm, cohort, folder / f"whole{index}") for index, arm in enumerate(ARMS)}
    chains: list[dict[str, Any]] = []
    made = {True: 0, False: 0}
    while min(made.values()) < n / 2:
        random = made[True] <= made[False]
        arms = ARMS if random else ARMS[:-1]
        arm = arms[sum(one["random"] is random for one in chains) % len(arms)]
        reference, work_s = whole[arm]
        blows = random_blows(arm, work_s, rng) if random else place_blows(arm, rng)
        kills, differing = chain(arm, cohort, folder / f"run{len(chains)}", reference, blows)
        made[random] += len(kills)
        record = {"arm": str(arm), "random": random, "differing": differing, "kills": [asdict(kill) for kill in kills]}
        chains.append(record)
        keep(chains)
        print(f"{made} of {n}: {arm}: {len(kills)} kills, differing: {differing}", flush=True)
    return chains


def make_cohort(folder: Path, seed: int) -> Path:
    """Generated scans, ingested with their masks given."""
    cohort = folder / "cohort.zarr"
    table = write_phantom_cohort(folder / "scans", cases=CASES, seed=seed, format="nifti", matrix=96)
    ingest([table], cohort, config=load_config(None, [*SETTINGS[:1], "ingest.workers=2"]))
    return cohort


def undisturbed(arm: Arm, cohort: Path, run: Path) -> tuple[Path, float]:
    """The run that nobody kills, and the seconds of its work."""
    return run, leave_alone(lambda faults: start(arm, cohort, run, faults))


def random_blows(arm: Arm, work_s: float, rng: np.random.Generator) -> list[Blow]:
    """So many moments, uniform over the whole work, that each start does a good part of it.

    With a checkpoint at every step, each start goes on within a step of where the last one was killed.
    """
    count = 8 if arm.every_step else 3
    moments = np.sort(rng.uniform(0, work_s, count))
    gaps = np.diff(moments, prepend=0.0) if arm.every_step else rng.uniform(0, work_s / EPOCHS, count)
    victims = [int(rng.integers(arm.ranks)) if arm.alone else None for _ in range(count)]
    return [Blow(after_s=float(gap), victim=victim) for gap, victim in zip(gaps, victims, strict=True)]


def place_blows(arm: Arm, rng: np.random.Generator) -> list[Blow]:
    """Kills at places in a random order, on all ranks or on one.

    Rank 0 alone clusters, writes and saves; a place that a rank does not come to is on rank 0.
    """
    places = rng.permutation(PLACES)[:10]
    return [Blow(fault=f"kill@{place}{f'/{_rank(place, arm, rng)}' if arm.alone else ''}") for place in places]


def _rank(place: str, arm: Arm, rng: np.random.Generator) -> int:
    shared = place.startswith(
        ("extract", "volume", "labels", "reset", "train", "draw", "forward", "backward", "update")
    )
    return int(rng.integers(arm.ranks)) if shared else 0


def chain(arm: Arm, cohort: Path, run: Path, reference: Path, blows: Sequence[Blow]) -> tuple[list[Kill], list[str]]:
    """Kill one training again and again; its kills, and what its end does not share with the reference's."""
    kills = kill_again_and_again(lambda faults: start(arm, cohort, run, faults), run, arm.ranks, blows)
    return kills, differences(run, reference)


def start(arm: Arm, cohort: Path, run: Path, faults: Sequence[str]) -> Launched:
    """Start the training of an arm: the plain command line, or with faults."""
    minutes = f"training.checkpoint_minutes={0 if arm.every_step else 60}"
    arguments = [*SETTINGS, f"training.epochs={EPOCHS}", minutes, f"data.cohort={cohort}", f"output={run}"]
    return Launched(train_command(arguments, ranks=arm.ranks, faults=faults), run.with_suffix(".log"))


def summary(chains: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a campaign."""
    kills = [kill for one in chains for kill in one["kills"]]
    outside = [kill for kill in kills if not kill["fault"]]
    return {
        "kills": len(kills),
        "random": sum(len(one["kills"]) for one in chains if one["random"]),
        "chains": len(chains),
        "chains_differing": sum(bool(one["differing"]) for one in chains),
        "not_resumed_from_newest": sum(not kill["goes_on"] for kill in kills),
        "unreadable": sum(kill["unreadable"] for kill in kills),
        "in_save": sum(kill["in_save"] for kill in kills),
        "phases": dict(Counter(kill["phase"] for kill in kills)),
        "recovery_s": _spread([kill["recovery_s"] for kill in kills]),
        "gone_s": _spread([kill["gone_s"] for kill in outside if not kill["alone"]]),
        "peers_gone_s": _spread([kill["gone_s"] for kill in outside if kill["alone"]]),
    }


def _spread(samples: Sequence[float]) -> dict[str, float]:
    if not samples:
        return dict.fromkeys(("p50", "p95", "max"), float("nan"))
    p50, p95 = (round(float(value), 2) for value in np.percentile(samples, [50, 95]))
    return {"p50": p50, "p95": p95, "max": round(max(samples), 2)}


def write(out: Path, chains: Sequence[dict[str, Any]], about: dict[str, Any]) -> None:
    """Write the results as JSON and as a Markdown page."""
    out.mkdir(parents=True, exist_ok=True)
    found = summary(chains)
    tree = {**about, "summary": found, "chains": list(chains)}
    (out / "training_kills.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    text = markdown(found, about)
    (out / "training_kills.md").write_text(text, encoding="utf-8")


def markdown(found: dict[str, Any], about: dict[str, Any]) -> str:
    """The figures in words."""
    n, hardware = found["kills"], about["hardware"]
    phases = ", ".join(f"{phase.name.lower()} {found['phases'].get(phase.name.lower(), 0)}" for phase in Phase)
    bound = f"0 of {n}, 95 % upper bound {3 / n:.1%}"
    lost = bound if not found["not_resumed_from_newest"] else f"{found['not_resumed_from_newest']} of {n}"
    rows = [f"| {name} | {found[key]['p50']} | {found[key]['p95']} | {found[key]['max']} |" for name, key in _TIMES]
    lines = [
        "# Kills of training",
        "",
        f"{n} kills in {found['chains']} trainings, {found['random']} of them at random moments of the work. "
        f"{found['chains'] - found['chains_differing']} of {found['chains']} trainings ended with the same weights, "
        "optimizer state, clusters and metrics as the undisturbed one, to the last bit.",
        "",
        f"- Starts that did not go on from the newest checkpoint: {lost}.",
        f"- Checkpoints in place that could not be read: {found['unreadable']}. "
        f"{found['in_save']} kills left a half-written one.",
        f"- Phase in hand at the kill: {phases}.",
        "",
        "| seconds | median | p95 | longest |",
        "|---|---|---|---|",
        *rows,
        "",
        f"{about['epochs']} epochs, {', '.join(about['settings'])}; seed {about['seed']}; {about['seconds']} s in all. "
        f"{hardware['cpu']}, {hardware['cores']} cores, load {hardware['load_before']} before and "
        f"{hardware['load_after']} after; Python {hardware['python']}, torch {hardware['versions']['torch']}.",
    ]
    return "\n".join(lines) + "\n"


_TIMES = (
    ("from the next command until its work went on", "recovery_s"),
    ("from the kill of all processes until the last was gone", "gone_s"),
    ("from the kill of one rank until its peers and the launcher were gone", "peers_gone_s"),
)

if __name__ == "__main__":
    main()
