"""A whole epoch of `dcam-dist train` beside a plain port of the DeepCluster loop to volumes, on one rank and on two.

Both take the same cohort, grid, filters, draws an epoch, SGD and threads, each as a training started from nothing; ours
in fp32 and as `precision=auto` decides. In each round every training runs for three epochs, in an order drawn anew. The
first epoch warms up and is not counted. The watch is the same for all: when a line of the epoch's figures appears.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.cycle_port import LOG, write_arrays
from benchmarks.generated_cohort import generated, on_grid, write_generated
from benchmarks.harness import Measured, Options, Series, Target, ratio
from benchmarks.launched import train_command
from benchmarks.peers import absent, find
from benchmarks.report import number, table
from benchmarks.watched import watched
from dcam_dist.config import Config, load_config
from dcam_dist.models import choose_precision
from dcam_dist.runs.metrics_lines import read_metrics

GRID, SMOKE_GRID = (32, 48, 48), (16, 16, 16)
CASES, SMOKE_CASES = 23, 5
"""Odd: with two ranks a sampler that pads has something to pad."""
MATRIX, SMOKE_MATRIX = 128, 64
EPOCHS = 3
COHORT = "cohort.zarr"
PHASES = ("extract", "cluster", "train")
PORT = "plain port, fp32"
OURS = {"ours, fp32": "fp32", "ours, precision auto": "auto"}
WHOLE_BOUND = 1.0
"""What a plain script does faster would be no reason to take ours."""
NOTES = (
    "The port is our own text: the suite's U-Net of torch.nn's modules in fp32 (`benchmarks/plain_unet.py`; it pools "
    "over the lungs as ours does), a DataLoader over `.npy` files without workers (`of it waited` is all that reading "
    "costs its training phase), features of a batch at a time gathered by `all_gather_object` into one NumPy array, "
    "StandardScaler and PCA of scikit-learn, k-means, a head reset in place with an SGD of its own.",
    "Draws: whole batches on either side, as many as the cases rounded up, and each cluster alike. The port means it "
    "as DeepCluster does, from a small cluster with replacement; the published sampler's wrong indices are not copied.",
    "On two ranks the port runs under plain DDP: its batch normalization spans a rank's half of a batch, where ours "
    "exchanges the statistics of the whole one; and its sampler pads. The number of cases is odd on purpose, so that "
    "one case counts twice in scaling, PCA and k-means; an even number would pad nothing.",
    "Extraction: ours passes one case at a time, the port a rank's share of a batch.",
    "Whole: from one epoch's line in the log to the next. Both write a checkpoint in it; ours also brings it to the "
    "disk and seals it, checks every volume that it reads, and computes metrics of the clustering.",
    "A phase is as each side times it, on rank 0. Peak: VmHWM of the largest process when an epoch ends.",
)


def peers_cycle(options: Options) -> Measured:
    """Every training in turn."""
    config, settings = _settings(options)
    arrays, cases = _prepare(config, options)
    contenders = _contenders(options)
    runs: dict[str, list[Run]] = {one.name: [] for one in contenders}
    rng = np.random.default_rng(options.seed)
    for round_ in range(options.repeats):
        for index in rng.permutation(len(contenders)):
            one = contenders[index]
            runs[one.name].append(_run(one, options.scratch / f"{round_}-{index}", arrays, settings, options))
    whole = {name: Series(f"{name}: whole epoch", "s", _whole(of)) for name, of in runs.items()}
    return Measured(
        title="A whole epoch beside a plain port of DeepCluster's loop",
        config=_described(config, cases, options),
        series=(*whole.values(), *_others(runs)),
        targets=tuple(_targets(contenders, whole)),
        notes=_notes(config),
        details={"epochs": {name: [run.epochs for run in of] for name, of in runs.items()}},
        tables={"An epoch, medians": _table(runs, config.training.batch_size, cases)},
    )


def _settings(options: Options) -> tuple[Config, list[str]]:
    grid = SMOKE_GRID if options.smoke else GRID
    small = ["network.filters=4", "clustering.clusters=2"] if options.smoke else ["network.filters=8"]
    fixed = [f"training.epochs={EPOCHS}", "training.batch_size=4"]
    settings = [f"grid.shape={list(grid)}", f"seed={options.seed}", *fixed, *small]
    return load_config(None, settings), settings


def _prepare(config: Config, options: Options) -> tuple[Path, int]:
    """The cohort, and the same volumes of the training grid as the port's ``.npy`` files."""
    scans = generated(SMOKE_CASES if options.smoke else CASES, options.seed, SMOKE_MATRIX if options.smoke else MATRIX)
    volumes = {case_id: on_grid(scan, config.grid.shape) for case_id, scan in scans.items()}
    cohort, arrays = write_generated(volumes, config, options.scratch / COHORT), options.scratch / "arrays"
    train = cohort.split("train")
    write_arrays(arrays, (cohort.read(case.case_id) for case in train))
    return arrays, len(train)


def _contenders(options: Options) -> "list[Contender]":
    if options.smoke:
        return [Contender(PORT, 1), Contender("ours, fp32", 1, "fp32")]
    found = []
    for ranks in (1, 2):
        found += [Contender(PORT, ranks), *(Contender(name, ranks, precision) for name, precision in OURS.items())]
    return found


def _run(one: "Contender", folder: Path, arrays: Path, settings: Sequence[str], options: Options) -> "Run":
    if one.precision:
        own = [f"network.precision={one.precision}", f"data.cohort={options.scratch / COHORT}"]
        command = train_command([*settings, *own, f"output={folder}"], ranks=one.ranks)
    else:
        launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={one.ranks}"] if one.ranks > 1 else []
        port = ["-m", "benchmarks.cycle_port", str(arrays), str(folder), *settings]
        command = [sys.executable, *launcher, *port]
    watch = watched(command, folder / LOG, folder.with_suffix(".said"), max(1, options.cores // one.ranks))
    epochs = read_metrics(folder)
    if len(epochs) != EPOCHS:
        raise RuntimeError(f"{one.name}: {len(epochs)} of {EPOCHS} epochs")
    return Run(tuple(epochs[1:]), tuple(np.diff(watch.seen_s).tolist()), watch.peak_bytes / 2**20)


def _whole(runs: "Sequence[Run]") -> tuple[float, ...]:
    return tuple(seconds for run in runs for seconds in run.whole_s)


def _phase(runs: "Sequence[Run]", phase: str) -> tuple[float, ...]:
    return tuple(float(epoch["seconds"][phase]) for run in runs for epoch in run.epochs)


def _others(runs: "Mapping[str, list[Run]]") -> Iterator[Series]:
    for name, of in runs.items():
        yield from (Series(f"{name}: {phase}", "s", _phase(of, phase)) for phase in PHASES)
        yield Series(f"{name}: peak of a rank", "MiB", tuple(run.peak_mib for run in of))


def _targets(contenders: "Sequence[Contender]", whole: Mapping[str, Series]) -> Iterator[Target]:
    for one in contenders:
        if one.precision:
            port = Contender(PORT, one.ranks).name
            yield Target(ratio(f"whole epoch, {one.name} / port", whole[one.name], whole[port]), WHOLE_BOUND, "at_most")


def _table(runs: "Mapping[str, list[Run]]", batch_size: int, cases: int) -> str:
    rows = []
    for name, of in runs.items():
        last = of[-1].epochs[-1]
        waited = [
            float(epoch["waited" if "waited" in epoch else "stall_seconds"]) for run in of for epoch in run.epochs
        ]
        rows.append(
            [
                name,
                *(number(median(_phase(of, phase))) for phase in PHASES),
                number(median(waited)),
                number(median(_whole(of))),
                f"{median(run.peak_mib for run in of):.0f}",
                str(last["drawn"] if "drawn" in last else last["steps"] * batch_size),
                str(counted_twice(last, cases)),
            ]
        )
    head = ["", *(f"{phase}, s" for phase in PHASES), "of it waited, s", "whole, s", "peak, MiB", "draws"]
    return table([*head, "cases clustered twice"], rows)


def counted_twice(epoch: Mapping[str, Any], cases: int) -> int:
    """Rows that an epoch clustered beyond the cases: those of cases that a sampler padded with.

    Args:
        epoch: A line of either log. Ours tells the sizes of the clusters, whose sum is what was clustered.
        cases: How many there are.
    """
    rows = epoch["rows_clustered"] if "rows_clustered" in epoch else sum(epoch["cluster_sizes"])
    return int(rows) - cases


def _notes(config: Config) -> tuple[str, ...]:
    chosen = choose_precision(config.network.model_copy(update={"precision": "auto"}), "cpu")
    faiss = find("faiss") is not None
    return (
        f"Ours, precision auto: {chosen.reason}.",
        *NOTES,
        f"The port's k-means: {'faiss' if faiss else 'scikit-learn'}.",
        *([] if faiss else [absent("faiss-cpu")]),
    )


def _described(config: Config, cases: int, options: Options) -> dict[str, Any]:
    return {
        "grid": config.grid.shape,
        "filters": config.network.filters,
        "cases": cases,
        "batch": config.training.batch_size,
        "clusters": config.clustering.clusters,
        "restarts of k-means": config.clustering.restarts,
        "epochs counted a round": EPOCHS - 1,
        "threads of all ranks": options.cores,
    }


@dataclass(frozen=True)
class Contender:
    """A training.

    Attributes:
        side: Who it is.
        ranks: Processes.
        precision: Of ours; ``None``: the port.
    """

    side: str
    ranks: int
    precision: str | None = None

    @property
    def name(self) -> str:
        """With the ranks."""
        return f"{self.side}, {self.ranks} rank{'s' if self.ranks > 1 else ''}"


@dataclass(frozen=True)
class Run:
    """What one training of a round told.

    Attributes:
        epochs: The lines of the counted epochs.
        whole_s: Seconds of each, from outside.
        peak_mib: Of the largest process.
    """

    epochs: tuple[dict[str, Any], ...]
    whole_s: tuple[float, ...]
    peak_mib: float
