"""Damage checkpoints again and again: is it found, is the one before read instead, and is it ever loaded?

    python -m benchmarks.checkpoint_corruption --n 1000 --out DIR [--seed 0]

A run with three checkpoints, made up, every field in use. Each trial changes one thing in one of them (or exchanges two
of them), loads, and mends it again. ``n`` trials flip one bit; every other kind of damage gets a tenth as many.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store_damage
from benchmarks.machine import machine
from benchmarks.saved_states import index_of, same, state_of
from benchmarks.store_damage import Damage
from dcam_dist.errors import DcamError
from dcam_dist.runs import latest_checkpoint, read_checkpoint, write_checkpoint
from dcam_dist.runs.places import FOLDER, Place, places

SAVED = (0, 1, 2)
FLIP = "bit flip"


@dataclass(frozen=True)
class Trial:
    """What became of one damage.

    Attributes:
        kind: Its name in ``WAYS``.
        path: What was damaged first.
        found: Whether every damaged checkpoint was refused, by one line and no other error.
        right: Whether the newest undamaged one was loaded instead, whole to the last bit.
    """

    kind: str
    path: str
    found: bool
    right: bool


def swap_files(checkpoints: Path, rng: np.random.Generator) -> Damage:
    """Two checkpoints have each other's file, with the manifests as they were."""
    one, other = rng.choice(sorted(folder.name for folder in checkpoints.iterdir()), size=2, replace=False)
    name = str(rng.choice(sorted(file.name for file in (checkpoints / one).iterdir())))
    return _exchange(checkpoints, f"{one}/{name}", f"{other}/{name}")


def swap_folders(checkpoints: Path, rng: np.random.Generator) -> Damage:
    """Two whole checkpoints have each other's name."""
    one, other = rng.choice(sorted(folder.name for folder in checkpoints.iterdir()), size=2, replace=False)
    return _exchange(checkpoints, str(one), str(other))


def delete(checkpoints: Path, rng: np.random.Generator) -> Damage:
    """A file is gone."""
    path = str(rng.choice(sorted(file.relative_to(checkpoints).as_posix() for file in checkpoints.glob("*/*"))))
    (checkpoints / path).unlink()
    return Damage(frozenset(), path, (path,))


WAYS: dict[str, Callable[[Path, np.random.Generator], Damage]] = {
    FLIP: store_damage.flip,
    "truncation": store_damage.truncate,
    "deletion": delete,
    "zero-byte file": store_damage.empty,
    "insertion": store_damage.insert,
    "sector of zeros": store_damage.zero_sector,
    "link in the place of a file": store_damage.link,
    "files of two checkpoints exchanged": swap_files,
    "two checkpoints exchanged": swap_folders,
}


def campaign(folder: Path, n: int, seed: int) -> list[Trial]:
    """Damage the checkpoints of a run, each trial in one way.

    Args:
        folder: Where the run is made.
        n: Trials that flip one bit; a tenth as many, at least one, of each other kind.
        seed: Of the damage.
    """
    run, sound, rng = folder / "run", folder / "sound", np.random.default_rng(seed)
    for index in SAVED:
        write_checkpoint(run, state_of(index), keep=len(SAVED))
    shutil.copytree(run / FOLDER, sound)
    kinds = [FLIP] * n + [kind for kind in WAYS if kind != FLIP] * max(1, n // 10)
    trials = []
    for kind in kinds:
        damage = WAYS[kind](run / FOLDER, rng)
        trials.append(_trial(kind, run, damage))
        store_damage.undo(run / FOLDER, sound, damage)
    newest = latest_checkpoint(run)
    if newest is None or index_of(newest) != SAVED[-1]:
        raise AssertionError("a trial was not undone")
    return trials


def _trial(kind: str, run: Path, damage: Damage) -> Trial:
    damaged = {path.partition("/")[0] for path in damage.undo}
    whole = [index for index, place in zip(reversed(SAVED), places(run), strict=True) if _name(place) not in damaged]
    found = all(_refused(run / FOLDER / name) for name in damaged)
    try:
        newest = latest_checkpoint(run)
    except Exception:  # whatever else than a checkpoint comes, it is wrong
        newest = None
    right = newest is not None and bool(whole) and same(newest, state_of(whole[0]))
    return Trial(kind, damage.path, found, right)


def _name(place: Place) -> str:
    return place.folder.name


def _refused(folder: Path) -> bool:
    try:
        read_checkpoint(folder)
    except DcamError:
        return True
    except Exception:  # a traceback is no refusal
        return False
    return False


def _exchange(checkpoints: Path, one: str, other: str) -> Damage:
    aside = checkpoints / ".aside"
    (checkpoints / one).rename(aside)
    (checkpoints / other).rename(checkpoints / one)
    aside.rename(checkpoints / other)
    return Damage(frozenset(), one, (one, other))


def summary(trials: Sequence[Trial], seed: int, seconds: float) -> dict[str, Any]:
    """The counts, as JSON."""
    kinds = {kind: [trial for trial in trials if trial.kind == kind] for kind in WAYS}
    flips = len(kinds[FLIP])
    return {
        "n": flips,
        "trials": len(trials),
        "seed": seed,
        "seconds": round(seconds, 1),
        "missed_flips": sum(not trial.found for trial in kinds[FLIP]),
        "missed": sum(not trial.found for trial in trials),
        "wrong_one_loaded": sum(not trial.right for trial in trials),
        "upper_bound_95": 3 / flips,
        "kinds": {
            kind: {"n": len(of), "found": sum(t.found for t in of), "right": sum(t.right for t in of)}
            for kind, of in kinds.items()
        },
        "machine": machine(),
    }


def markdown(result: dict[str, Any]) -> str:
    """The same as a page."""
    n, trials = result["n"], result["trials"]
    rows = [f"| {kind} | {of['n']} | {of['found']} | {of['right']} |" for kind, of in result["kinds"].items()]
    return "\n".join(
        [
            "# Damage to checkpoints",
            "",
            f"`python -m benchmarks.checkpoint_corruption --n {n} --seed {result['seed']}`, {result['seconds']} s on "
            f"{result['machine']['cores']} cores ({result['machine']['cpu']}).",
            "",
            f"- {result['missed_flips']} of {n} bit flips missed (95 % upper bound 3/n = "
            f"{100 * result['upper_bound_95']:.2g} %)",
            f"- {result['missed']} of {trials} damages of any kind missed",
            f"- {result['wrong_one_loaded']} of {trials} times anything else was loaded than the newest undamaged "
            "checkpoint, whole to the last bit",
            "",
            "| damage | n | refused | newest undamaged one loaded |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Run the campaign and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trials = campaign(Path(folder), arguments.n, arguments.seed)
    result = summary(trials, arguments.seed, time.perf_counter() - started)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "checkpoint_corruption.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (arguments.out / "checkpoint_corruption.md").write_text(markdown(result))
    print(f"{result['missed']} of {result['trials']} missed, {result['wrong_one_loaded']} loaded another")


if __name__ == "__main__":
    main()
