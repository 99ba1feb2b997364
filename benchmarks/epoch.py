"""What the phases of an epoch cost in real trainings, (extract + cluster + train) / train, and for up to 10,000 cases.

    python -m benchmarks run epoch --out DIR [--profile cpu|cpu-smoke]

One CPU rank, a generated cohort, the demo's network, with and without activation checkpointing. The first epoch of each
training warms up and does not count. Clustering is timed on features of up to 10,000 cases; extraction and training
grow with the cases, so their times for more cases are extrapolated from those that were trained, and marked so. What
`dcam-dist plan --gpu here` would have said of the same trainings, from 20 s of steps beforehand, is compared with them.
"""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Measured, Options, Series, Target
from benchmarks.launched import REPOSITORY, train_command
from benchmarks.report import number, table
from dcam_dist.clustering import ALONE, ArrayRows, choose_backend
from dcam_dist.config import Config, load_config
from dcam_dist.ingest import ingest
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.planning import measured_pace, seconds_of_an_epoch
from dcam_dist.runs.metrics_lines import read_metrics

CONFIG = REPOSITORY / "configs" / "demo.yaml"
GRID, SMOKE_GRID = (32, 64, 64), (16, 16, 16)
CASES, SMOKE_CASES = 24, 8
MANY, SMOKE_MANY = (100, 1_000, 10_000), (100,)
BOUNDS = {"none": 1.35, "block": 1.27}
PLAN_OFF = 0.3
CALIBRATION_S, SMOKE_CALIBRATION_S = 20.0, 1.0


def epoch(options: Options) -> Measured:
    """Both policies in turn, and the clustering of ever more cases."""
    grid, cases = (SMOKE_GRID, SMOKE_CASES) if options.smoke else (GRID, CASES)
    settings = _settings(options, grid)
    config = load_config(CONFIG, settings)
    scans = write_phantom_cohort(options.scratch / "scans", cases=cases, seed=options.seed, format="nifti", matrix=96)
    cohort = options.scratch / "cohort.zarr"
    ingest([scans], cohort, config=config)
    planned = {policy: _planned(settings, policy, cases, options) for policy in BOUNDS}
    logged = {policy: _train(settings, policy, cohort, options) for policy in BOUNDS}
    off = {policy: _off(policy, planned[policy], logged[policy]) for policy in BOUNDS}
    shares = {
        policy: Series(f"8: (extract + cluster + train) / train, {policy}", "×", _shares(logged[policy]))
        for policy in BOUNDS
    }
    clustering = {many: _clustering(config, many, options) for many in (SMOKE_MANY if options.smoke else MANY)}
    trained = logged["none"][0]["steps"] * config.training.batch_size
    return Measured(
        title="What the phases of an epoch cost",
        config={"grid": grid, "filters": config.network.filters, "cases": trained, "batch": config.training.batch_size},
        series=(
            *(
                Series(f"{policy}: {phase}", "s", _seconds(epochs, phase))
                for policy, epochs in logged.items()
                for phase in ("extract", "cluster", "train")
            ),
            *(Series(f"clustering of {many} cases", "s", tuple(samples)) for many, samples in clustering.items()),
        ),
        targets=(
            *(Target(shares[policy], bound, "at_most") for policy, bound in BOUNDS.items()),
            *(Target(one, PLAN_OFF, "at_most") for one in off.values()),
        ),
        notes=(
            "A forward pass is a third of a training step, a quarter with a checkpoint per block: extraction alone "
            "comes to 1.33 and 1.25.",
            "Planned: seconds of an epoch, extraction and training, after the calibration of `plan --gpu here`.",
        ),
        tables={
            "Seconds an epoch": _table(logged, clustering, trained),
            "Planned and measured, s": _planned_table(planned, logged),
        },
    )


def _settings(options: Options, grid: tuple[int, ...]) -> list[str]:
    epochs = max(2, options.repeats + 1)
    small = ["network.filters=4"] if options.smoke else []
    fixed = ["ingest.workers=1", "ingest.test_fraction=0", "clustering.clusters=3", "training.passes=1"]
    return [f"grid.shape={list(grid)}", f"training.epochs={epochs}", f"seed={options.seed}", *fixed, *small]


def _train(settings: list[str], policy: str, cohort: Path, options: Options) -> list[dict[str, Any]]:
    run = options.scratch / policy
    own = [*settings, f"network.checkpointing={policy}", f"data.cohort={cohort}", f"output={run}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.cores)}
    command = train_command(["--config", str(CONFIG), *own])
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.DEVNULL)
    return read_metrics(run)[1:]


def _planned(settings: list[str], policy: str, cases: int, options: Options) -> dict[str, float]:
    """Seconds of each phase, from steps that are timed before anything is trained."""
    config = load_config(CONFIG, [*settings, f"network.checkpointing={policy}"])
    seconds = SMOKE_CALIBRATION_S if options.smoke else CALIBRATION_S
    return seconds_of_an_epoch(config, 1, cases, measured_pace(config, config.training.batch_size, seconds))


def _off(policy: str, planned: dict[str, float], epochs: list[dict[str, Any]]) -> Series:
    whole_s, spent = sum(planned.values()), zip(_seconds(epochs, "extract"), _seconds(epochs, "train"), strict=True)
    return Series(
        f"planned / measured − 1 of an epoch, {policy}", "×", tuple(abs(whole_s / sum(both) - 1) for both in spent)
    )


def _planned_table(planned: dict[str, dict[str, float]], logged: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for policy, phases in planned.items():
        for phase, seconds in phases.items():
            measured = float(np.median(_seconds(logged[policy], phase)))
            rows.append([policy, phase, number(seconds), number(measured), f"{seconds / measured - 1:+.0%}"])
    return table(["checkpointing", "phase", "planned", "measured", "off by"], rows)


def _seconds(epochs: list[dict[str, Any]], phase: str) -> tuple[float, ...]:
    return tuple(float(one["seconds"][phase]) for one in epochs)


def _shares(epochs: list[dict[str, Any]]) -> tuple[float, ...]:
    phases = zip(*(_seconds(epochs, phase) for phase in ("extract", "cluster", "train")), strict=True)
    return tuple((extract + cluster + train) / train for extract, cluster, train in phases)


def _clustering(config: Config, cases: int, options: Options) -> list[float]:
    channels = 2 * config.network.filters
    features = np.random.default_rng(options.seed).normal(size=(cases, channels)).astype(np.float32)
    backend = choose_backend(config.clustering, cases, "cpu")
    taken = []
    for _ in range(options.repeats + 1):
        started = time.perf_counter()
        backend.fit(ArrayRows(features), config.clustering, options.seed, ALONE)
        taken.append(time.perf_counter() - started)
    return taken[1:]


def _table(logged: dict[str, list[dict[str, Any]]], clustering: dict[int, list[float]], trained: int) -> str:
    rows = []
    for policy, epochs in logged.items():
        extract, cluster, train = (
            float(np.median(_seconds(epochs, phase))) for phase in ("extract", "cluster", "train")
        )
        rows.append([policy, f"{trained}, measured", number(extract), f"{cluster:.3f}", number(train)])
        for many, samples in clustering.items():
            grown = many / trained
            times = [
                f"{extract * grown:.0f} (extrapolated)",
                f"{np.median(samples):.3f}",
                f"{train * grown:.0f} (extrapolated)",
            ]
            rows.append([policy, str(many), *times])
    return table(["checkpointing", "cases", "extract", "cluster", "train"], rows)
