"""How long training waits for volumes: the share of an epoch's training time, in a real training of two CPU ranks.

    python -m benchmarks run stall --out DIR [--profile cpu|cpu-smoke] [--repeats EPOCHS]

Generated cases, ingested with their masks given; then `torchrun` with gloo, the demo's network, one thread a rank. The
volumes are in the page cache. Each epoch is a sample; the share is of the rank that waited longest, as the run logs it.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import Measured, Options, Series, Target
from dcam_dist.config import load_config
from dcam_dist.ingest import ingest
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.runs.metrics_lines import read_metrics

CONFIG = Path(__file__).parents[1] / "configs" / "demo.yaml"
RANKS = 2
GRID, SMOKE_GRID = (64, 96, 96), (16, 32, 32)
CASES, SMOKE_CASES = 16, 6
BOUND = 0.02


def stall(options: Options) -> Measured:
    """The stall share of each epoch."""
    grid, cases = (SMOKE_GRID, SMOKE_CASES) if options.smoke else (GRID, CASES)
    epochs = max(2, options.repeats)
    settings = [f"grid.shape={list(grid)}", f"training.epochs={epochs}", f"seed={options.seed}", "ingest.workers=1"]
    settings += ["network.filters=4", "clustering.clusters=2"] if options.smoke else []
    cohort, run_folder = options.scratch / "cohort.zarr", options.scratch / "run"
    matrix = 96 if options.smoke else 128
    table = write_phantom_cohort(
        options.scratch / "scans", cases=cases, seed=options.seed, format="nifti", matrix=matrix
    )
    ingest([table], cohort, config=load_config(CONFIG, settings))
    _train([*settings, f"data.cohort={cohort}", f"output={run_folder}"])
    logged = read_metrics(run_folder)
    config = load_config(CONFIG, settings)
    share = Series("stall share of training", "×", tuple(_share(epoch) for epoch in logged))
    return Measured(
        title="Stall share of a training on two CPU ranks",
        config={
            "ranks": RANKS,
            "grid": grid,
            "filters": config.network.filters,
            "batch": config.training.batch_size,
            "draws an epoch": logged[0]["steps"] * config.training.batch_size,
            "prefetch": config.data.prefetch,
            "reading threads a rank": config.data.threads,
        },
        series=(
            Series("seconds of training an epoch", "s", tuple(epoch["seconds"]["train"] for epoch in logged)),
            Series("seconds waited for volumes an epoch", "s", tuple(epoch["stall_seconds"] for epoch in logged)),
        ),
        targets=(Target(share, BOUND, "at_most"),),
        notes=(
            "The first batch of an epoch is waited for whole: nothing can be read ahead of it.",
            "A step on a CPU is slow, which makes the share small; a GPU's step compares to the seconds.",
        ),
        details={"epochs": logged},
    )


def _share(epoch: dict[str, Any]) -> float:
    return float(epoch["stall_seconds"] / epoch["seconds"]["train"])


def _train(settings: list[str]) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={RANKS}", "-m", "dcam_dist"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    repository = Path(__file__).parents[1]
    command = [*launcher, "train", "--config", str(CONFIG), *settings]
    ended = subprocess.run(
        command, cwd=repository, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if ended.returncode:
        raise RuntimeError(
            f"the training ended with {ended.returncode}:\n{ended.stdout.decode(errors='replace')[-3000:]}"
        )
