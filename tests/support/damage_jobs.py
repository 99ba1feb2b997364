"""Run alone or under torchrun: trainings that meet damaged cases, staged and patched trainings, in one start.

Arguments: OUT COHORTS. COHORTS holds one cohort a job, the ``before-…`` ones damaged already; the jobs ``between-CASE``
lose a case after the second epoch's extraction. Leaves one run a job under OUT, and the notes that the ranks shared.
"""

import json
import sys
from pathlib import Path

import torch.distributed as dist
from support.cohorts import SHAPE, damage_case, settings

from dcam_dist.config import load_config
from dcam_dist.distributed import open_processes, share_notes
from dcam_dist.training import cycle, train

PATCHED, STAGED = "patched", "staged"
SMALL = (16, 16, 16)
"""Of all cohorts but the one that is patched, which has ``SHAPE``."""


def train_one(name: str, out: Path, cohort: Path) -> None:
    overrides = {
        PATCHED: {"data.patch": [16, 16, 16], "grid.shape": list(SHAPE)},
        STAGED: {"data.stage": out / "fast"},
    }.get(name, {})
    epochs = 3 if name.startswith("between") else 1
    given = {"grid.shape": list(SMALL), "training.epochs": epochs, **overrides}
    train(load_config(None, settings(cohort, output=out / name, **given)))


def train_while_damaging(name: str, out: Path, cohort: Path) -> None:
    original, epochs = cycle.train_epoch, []

    def loses_a_case_in_the_second_epoch(job, state):
        epochs.append(state.position.epoch)
        if len(epochs) == 2 and job.context.is_main:
            damage_case(cohort, name.removeprefix("between-"), "zeros")
        dist.barrier()
        return original(job, state)

    cycle.train_epoch = loses_a_case_in_the_second_epoch
    try:
        train_one(name, out, cohort)
    finally:
        cycle.train_epoch = original


def share(out: Path) -> None:
    with open_processes() as context:
        rank = context.rank
        shared = [
            share_notes({}, context),
            share_notes({"of the last": "ß" * 50} if rank == context.world_size - 1 else {}, context),
            share_notes({"all": f"rank {rank}", f"{9 - rank}": "x" * rank}, context),
        ]
        (out / f"notes-{rank}.json").write_text(json.dumps(shared))


if __name__ == "__main__":
    out, cohorts = map(Path, sys.argv[1:])
    share(out)
    for cohort in sorted(cohorts.iterdir()):
        job = train_while_damaging if cohort.stem.startswith("between") else train_one
        job(cohort.stem, out, cohort)
