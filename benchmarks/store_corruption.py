"""Damage a store again and again: is it found, is the right case named, and is it ever read as data?

    python -m benchmarks.store_corruption --n 1000 --out DIR [--seed 0]

The store is generated: a few cases of noise, volumes of one and of several chunks. Each trial damages one thing,
validates, reads what was damaged, and makes the store sound again.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.store_damage import WAYS, Damage, undo
from dcam_dist.cohort import (
    CohortDescription,
    VolumeLevels,
    close_cohort,
    create_cohort,
    layout,
    open_cohort,
    validate,
    write_case,
)
from dcam_dist.config import GridConfig
from dcam_dist.errors import DataError, UsageError, VolumeDamaged
from dcam_dist.types import CaseRecord, Geometry, QuarantineEntry

GRID = (16, 32, 32)
NATIVE = (140, 24, 20)
"""Two chunks along z, so that a shard's index has more than one entry."""
LEVELS = (layout.NATIVE_LEVEL, layout.GRID_LEVEL)

Voxels = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Trial:
    """What became of one damage.

    Attributes:
        kind: Its name in ``store_damage.WAYS``.
        path: What was damaged.
        found: Whether ``validate`` said that anything is wrong.
        named: Whether it named exactly the cases that were damaged.
        read: ``refused``, ``undamaged voxels``, or ``other data``.
    """

    kind: str
    path: str
    found: bool
    named: bool
    read: str


def campaign(folder: Path, n: int, seed: int, cases: int = 4) -> list[Trial]:
    """Damage a fresh store ``n`` times, each time in one way.

    Args:
        folder: Where the store is made; it holds both the damaged and the sound one afterwards.
        n: Trials; each kind has at least one where there are enough.
        seed: Of the store and of the damage.
        cases: In the store.
    """
    sound, store = folder / "sound.zarr", folder / "store.zarr"
    make_store(sound, cases, seed)
    shutil.copytree(sound, store)
    voxels = {
        (case.case_id, level): _read(sound, case.case_id, level)
        for case in open_cohort(sound).cases
        for level in LEVELS
    }
    rng = np.random.default_rng(seed)
    trials = []
    for kind in _kinds(n, rng):
        damage = WAYS[kind][0](store, rng)
        trials.append(_trial(kind, store, damage, voxels))
        undo(store, sound, damage)
    if not validate(store).whole:
        raise AssertionError("a trial was not undone")
    return trials


def make_store(path: Path, cases: int, seed: int) -> None:
    """A cohort of noise, with a case set aside."""
    create_cohort(path, CohortDescription(GridConfig(shape=GRID), ("none", "some")))
    records = []
    for index in range(cases):
        rng = np.random.default_rng([seed, index])
        native, grid = (_volume(shape, rng) for shape in (NATIVE, GRID))
        spaces = (Geometry.from_matrix(shape, np.diag([2.0, 2.0, 1.5, 1.0])) for shape in (NATIVE, NATIVE, GRID))
        record = CaseRecord(f"case{index}", f"patient{index}", "train", index % 2, *spaces)
        write_case(path, record, VolumeLevels(*native, *grid), {"montage.webp": rng.bytes(300)})
        records.append(record)
    close_cohort(path, records, [QuarantineEntry("other", "tilted", "7°")])


def summary(trials: list[Trial], seed: int, seconds: float) -> dict[str, Any]:
    """The counts, as JSON."""
    kinds = {kind: [trial for trial in trials if trial.kind == kind] for kind in WAYS}
    return {
        "n": len(trials),
        "seed": seed,
        "seconds": round(seconds, 1),
        "missed": sum(not trial.found for trial in trials),
        "wrong_case_named": sum(not trial.named for trial in trials),
        "read_as_other_data": sum(trial.read == "other data" for trial in trials),
        "upper_bound_95": 3 / len(trials),
        "kinds": {
            kind: {
                "n": len(of_kind),
                "found": sum(trial.found for trial in of_kind),
                "named": sum(trial.named for trial in of_kind),
                "read": dict(sorted(Counter(trial.read for trial in of_kind).items())),
            }
            for kind, of_kind in kinds.items()
        },
        "machine": machine(),
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The same as a table."""
    n, bound = result["n"], f"(95 % upper bound 3/n = {100 * result['upper_bound_95']:.2g} %)"
    rows = [
        f"| {kind} | {of['n']} | {of['found']} | {of['named']} | {of['read'].get('refused', 0)} "
        f"| {of['read'].get('undamaged voxels', 0)} | {of['read'].get('other data', 0)} |"
        for kind, of in result["kinds"].items()
    ]
    return "\n".join(
        [
            "# Damage to a cohort store",
            "",
            f"`python -m benchmarks.store_corruption --n {n} --seed {result['seed']}`, {result['seconds']} s on "
            f"{result['machine']['cores']} cores ({result['machine']['cpu']}).",
            "",
            f"- {result['missed']} of {n} missed by `validate` {bound}",
            f"- {result['wrong_case_named']} of {n} with another case named, or one too many {bound}",
            f"- {result['read_as_other_data']} of {n} read as other data {bound}",
            "",
            "| damage | n | found | right case named | reading refused | undamaged voxels read | other data read |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Undamaged voxels are read where the damage is to a file that holds none: a picture, a table, a group's "
            "attributes, another level.",
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
    (arguments.out / "store_corruption.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (arguments.out / "store_corruption.md").write_text(markdown(result))
    print(f"{result['missed']} of {result['n']} missed, {result['read_as_other_data']} read as other data")


def _kinds(n: int, rng: np.random.Generator) -> list[str]:
    shares = np.array([share for _, share in WAYS.values()])
    drawn = [str(kind) for kind in rng.choice(list(WAYS), size=max(0, n - len(WAYS)), p=shares / shares.sum())]
    return [*WAYS, *drawn][:n]


def _trial(kind: str, store: Path, damage: Damage, voxels: Voxels) -> Trial:
    report = validate(store)
    named = {found.case_id for found in report.findings if found.case_id is not None}
    outcomes = [
        _outcome(store, case_id, level, whole)
        for (case_id, level), whole in voxels.items()
        if case_id in damage.case_ids or not damage.case_ids
    ]
    read = next((worst for worst in ("other data", "refused") if worst in outcomes), "undamaged voxels")
    return Trial(kind, damage.path, not report.whole, named == damage.case_ids, read)


def _outcome(store: Path, case_id: str, level: str, whole: tuple[np.ndarray, np.ndarray]) -> str:
    try:
        values = _read(store, case_id, level)
    except (VolumeDamaged, DataError, UsageError):
        return "refused"
    same = all(
        np.array_equal(one, other) and one.dtype == other.dtype for one, other in zip(values, whole, strict=True)
    )
    return "undamaged voxels" if same else "other data"


def _read(store: Path, case_id: str, level: str) -> tuple[np.ndarray, np.ndarray]:
    cohort = open_cohort(store)
    if case_id not in {case.case_id for case in cohort.cases}:
        raise DataError(f"{store}: no case {case_id}")
    hu, inside = cohort.read(case_id, level)
    sides = cohort.lung_mask(case_id, level).compute(scheduler="synchronous")
    return hu, np.where(inside == (sides != 0), sides, -1)


def _volume(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    hu = rng.normal(-800, 60, shape).astype(np.int16)
    mask = np.zeros(shape, np.uint8)
    mask[2:-2, 4:-4, 3 : shape[2] // 2 - 1], mask[2:-2, 4:-4, shape[2] // 2 + 1 : -3] = 1, 2
    hu[mask == 0] = 40
    return hu, mask


if __name__ == "__main__":
    main()
