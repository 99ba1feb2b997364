"""Run alone or under torchrun: everything whose result must not depend on the number of ranks, in one start.

Arguments: OUT COHORT BASELINE_COHORT TRAINED. Leaves under OUT the runs ``dcam`` and ``baseline`` (two epochs), and
``dcam-step``, ``dcam-step-block``, ``dcam-parts-step`` (the batch in three parts) and ``baseline-step`` (one step over
all training cases); ``features-*.npy`` of the
runs under TRAINED; and ``norm-*.safetensors``.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from support.cohorts import BASELINE_SHAPE, settings

from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.distributed import open_processes
from dcam_dist.models.checkpointing import POLICIES
from dcam_dist.models.norm import GlobalBatchNorm3d
from dcam_dist.runs import restore_run
from dcam_dist.training import extract_features, train

TRAINING_CASES = 9
ONE_STEP = {"training.batch_size": TRAINING_CASES, "training.epochs": 1}


def train_all(out: Path, cohort: Path, baseline_cohort: Path) -> None:
    baseline = {
        "method": "baseline",
        "data.cohort": baseline_cohort,
        "grid.shape": list(BASELINE_SHAPE),
        # at the default rate, rounding differences of 1e-6 in the weights grow to 5e-4 in the loss within two epochs
        "training.optimizer.lr": 0.01,
    }
    runs = {
        "dcam": {},
        "dcam-step": ONE_STEP,
        "dcam-step-block": {**ONE_STEP, "network.checkpointing": "block"},
        "dcam-parts-step": {**ONE_STEP, "training.accumulation": 3},
        "baseline": baseline,
        "baseline-step": {**baseline, **ONE_STEP},
    }
    for name, overrides in runs.items():
        train(load_config(None, settings(cohort, output=out / name, **overrides)))


def save_features(run: Path, file: Path) -> None:
    """Features of the training cases, written by the last rank."""
    restored = restore_run(run)
    cohort = open_cohort(restored.config.data.cohort)
    with open_processes() as context:
        ids = [case.case_id for case in cohort.split("train")]
        table = extract_features(restored.network, cohort, ids, restored.config.data, context)
        assert table.case_id_N == tuple(ids)
        if context.rank == context.world_size - 1:
            np.save(file, table.features_NC)


def save_global_norm(file: Path, policy: str) -> None:
    """Unequal shares of a batch of five through the global batch norm, forward and backward."""
    with open_processes() as context:
        generator = torch.Generator().manual_seed(5)
        x, weight = (torch.randn(5, 3, 4, 4, 4, generator=generator) for _ in range(2))
        share = slice(context.rank, None, context.world_size)
        mine = x[share].clone().requires_grad_()
        norm = GlobalBatchNorm3d(3, momentum=0.1)
        y = POLICIES[policy].run(norm, mine)
        (y * weight[share]).sum().backward()
        for gradient in (norm.weight.grad, norm.bias.grad):
            torch.distributed.all_reduce(gradient)
        rows = {"y": torch.zeros_like(x), "grad": torch.zeros_like(x)}
        rows["y"][share], rows["grad"][share] = y.detach(), mine.grad
        for value in rows.values():
            torch.distributed.all_reduce(value)
        if context.is_main:
            buffers = {"mean": norm.running_mean, "var": norm.running_var}
            save_file({**rows, **buffers, "weight": norm.weight.grad, "bias": norm.bias.grad}, file)


if __name__ == "__main__":
    out, cohort, baseline_cohort, trained = map(Path, sys.argv[1:])
    train_all(out, cohort, baseline_cohort)
    for method in ("dcam", "baseline"):
        save_features(trained / method, out / f"features-{method}.npy")
    for policy in ("none", "block"):
        save_global_norm(out / f"norm-{policy}.safetensors", policy)
