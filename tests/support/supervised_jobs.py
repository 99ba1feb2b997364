"""Run alone or under torchrun: supervised trainings whose result must not depend on the number of ranks, in one start.

Arguments: OUT COHORT. Leaves under OUT the runs ``validated`` (two epochs) and ``weighted`` (one step over all cases,
unequal weights), and ``differ`` holds what a rank says whose network is another than the other ranks'.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from support.cohorts import settings

from dcam_dist.config import load_config
from dcam_dist.distributed import open_processes
from dcam_dist.errors import DataError
from dcam_dist.training import train
from dcam_dist.training.job import prepare_job
from dcam_dist.training.validation import agreed, judge

VALIDATED = {"supervised.validation_fraction": 0.3}
WEIGHTED = {"supervised.class_weights": "balanced", "training.balance": "false"}
# one step over all training cases: over many, rounding differences grow
ONE_STEP = {"training.batch_size": 9, "training.epochs": 1}


def train_all(out: Path, cohort: Path) -> None:
    for name, overrides in {"validated": VALIDATED, "weighted": {**WEIGHTED, **ONE_STEP}}.items():
        train(load_config(None, settings(cohort, output=out / name, method="supervised", **overrides)))


def judge_different_networks(out: Path, cohort: Path) -> None:
    features_NC, grade_N = np.eye(8, dtype=np.float32), np.arange(8) % 6
    with open_processes() as context:
        network = prepare_job(load_config(None, settings(cohort, method="supervised")), context).engine.network
        with torch.no_grad():
            network.head.bias[0] += 5 * context.rank
        try:
            agreed(judge(network, features_NC, grade_N, None), context)
        except DataError as error:
            (out / f"differ-{context.rank}").write_text(str(error))


if __name__ == "__main__":
    out, cohort = map(Path, sys.argv[1:])
    train_all(out, cohort)
    judge_different_networks(out, cohort)
