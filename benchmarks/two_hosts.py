"""A training on two hosts, a rank each, beside two ranks on one: over a cable without a limit, and at 200 Mbit/s.

    PYTHONPATH=tests python -m benchmarks run two_hosts --out DIR [--profile cpu|cpu-smoke]

The hosts are network namespaces of this machine (``tests/netns/net.sh``; needs root, iproute2 and tc), so all three
have the same cores and differ in what lies between the ranks alone.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import Measured, Options, Series, Target, ratio
from benchmarks.kill_chain import differences
from benchmarks.launched import Launched
from dcam_dist.config import load_config
from dcam_dist.ingest import ingest
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.runs.metrics_log import read_metrics

NET = Path(__file__).parents[1] / "tests" / "netns" / "net.sh"
GRID, SMOKE_GRID = (32, 64, 64), (16, 32, 32)
FILTERS, SMOKE_FILTERS = 16, 4
CASES, SMOKE_CASES = 16, 8
EPOCHS, SMOKE_EPOCHS = 4, 2
LIMIT = "200mbit"
ONE, TWO, SLOW = "one host", "two hosts", "two hosts, 200 Mbit/s"


@dataclass(frozen=True)
class Trained:
    """What one training gave.

    Attributes:
        run: Its folder.
        epoch_s: The median of its epochs but the first, in seconds, with extraction and clustering.
        train_s: Of these the training steps.
        sent: Bytes that the first host sent over the cable, for each step.
    """

    run: Path
    epoch_s: float
    train_s: float
    sent: float


def two_hosts(options: Options) -> Measured:
    """Seconds of an epoch, on one host and on two, in turn."""
    settings = [*_settings(options), f"seed={options.seed}"]
    cohort = _cohort(options, settings)
    settings.append(f"data.cohort={cohort}")
    names, rng = (ONE, TWO, SLOW), np.random.default_rng(options.seed)
    trained: dict[str, list[Trained]] = {name: [] for name in names}
    for round_ in range(options.repeats):
        for index in rng.permutation(len(names)):
            name = names[index]
            trained[name].append(_train(name, settings, options.scratch / f"run{round_}-{index}"))
    epochs, steps = (
        {
            name: Series(f"{name}: {what}", "s", tuple(getattr(one, of) for one in all_))
            for name, all_ in trained.items()
        }
        for what, of in (("an epoch", "epoch_s"), ("an epoch's steps", "train_s"))
    )
    ratios = [
        ratio(f"{name} / one host: {what}", series[name], series[ONE])
        for what, series in (("an epoch", epochs), ("an epoch's steps", steps))
        for name in (TWO, SLOW)
    ]
    other = [bool(differences(one.run, trained[ONE][0].run)) for name in names for one in trained[name]]
    config = load_config(None, settings)
    return Measured(
        title="A training on two hosts beside two ranks on one",
        config={
            **{"grid": config.grid.shape, "filters": config.network.filters, "cases": _sizes(options)[2]},
            **{"epochs": config.training.epochs, "batch": config.training.batch_size, "ranks": 2, "threads a rank": 1},
        },
        series=(*epochs.values(), *steps.values(), *ratios, *_sent(trained)),
        targets=(
            Target(Series("trainings whose end is not that of one host", "", (float(sum(other)),)), 0, "at_most"),
        ),
        notes=(
            "Each round trains three times from the start, in an order drawn anew; a sample is the median of a "
            "training's epochs but the first.",
            "All have the same two cores of one machine: what differs is the way between the ranks. Between hosts of "
            "their own each rank would have its cores and caches to itself.",
            "The cable is a pair of virtual interfaces; 200 Mbit/s are kept by a token bucket in each direction, "
            "without added latency.",
        ),
        details={"seconds of each epoch": {name: [_epochs(one.run) for one in all_] for name, all_ in trained.items()}},
    )


def _sizes(options: Options) -> tuple[tuple[int, int, int], int, int, int]:
    return (SMOKE_GRID, SMOKE_FILTERS, SMOKE_CASES, SMOKE_EPOCHS) if options.smoke else (GRID, FILTERS, CASES, EPOCHS)


def _settings(options: Options) -> list[str]:
    grid, filters, _, epochs = _sizes(options)
    return [
        *(f"grid.shape={list(grid)}", f"network.filters={filters}", f"training.epochs={epochs}", "ingest.workers=1"),
        *("training.batch_size=4", "clustering.clusters=3", "training.optimizer.lr=0.01"),
    ]


def _cohort(options: Options, settings: Sequence[str]) -> Path:
    cohort, cases = options.scratch / "cohort.zarr", _sizes(options)[2]
    table = write_phantom_cohort(options.scratch / "scans", cases=cases, seed=options.seed, format="nifti", matrix=96)
    ingest([table], cohort, config=load_config(None, settings))
    return cohort


def _train(name: str, settings: Sequence[str], run: Path) -> Trained:
    program = ["-m", "dcam_dist", "train", *settings, f"output={run}"]
    with _net(name) as net:
        several = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint=10.77.{_subnet()}.1"]
        options = ["--nproc_per_node=2"] if name == ONE else several
        command = [sys.executable, "-m", "dcam_dist.launch", *options, *program]
        started = [
            Launched([str(NET), "on", net, host, *command], run.with_name(f"{run.name}-{host}.log"))
            for host in ("1", "2")[: 1 if name == ONE else 2]
        ]
        try:
            if any(one.wait() != [0] for one in started):
                raise RuntimeError("\n".join(one.said for one in started))
        finally:
            for one in started:
                one.kill()
        sent = _bytes_sent(net)
    later, lines = _epochs(run)[1:], read_metrics(run)
    steps = sum(line["steps"] for line in lines)
    train_s = statistics.median(epoch["train"] for epoch in later)
    return Trained(run, statistics.median(sum(epoch.values()) for epoch in later), train_s, sent / steps)


def _epochs(run: Path) -> list[dict[str, float]]:
    return [line["seconds"] for line in read_metrics(run)]


def _subnet() -> int:
    return os.getpid() % 256


@contextmanager
def _net(name: str) -> Iterator[str]:
    """The two hosts, removed afterwards; gives their common name."""
    net = f"dcam{_subnet()}b"
    try:
        subprocess.run([NET, "up", net, str(_subnet())], check=True)
        if name == SLOW:
            subprocess.run([NET, "limit", net, LIMIT], check=True)
        yield net
    finally:
        subprocess.run([NET, "down", net], check=True)


def _bytes_sent(net: str) -> int:
    asked = ["nsenter", f"--net=/run/netns/{net}1", "cat", "/proc/self/net/dev"]
    lines = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    (cable,) = (line for line in lines if line.strip().startswith(f"{net}v1:"))
    return int(cable.split(":")[1].split()[8])


def _sent(trained: Mapping[str, Sequence[Trained]]) -> Iterator[Series]:
    for name in (TWO, SLOW):
        yield Series(f"{name}: sent by a host, a step", "MB", tuple(one.sent / 1e6 for one in trained[name]))
