"""What every benchmark shares: its options, interleaved repeats in one run, and what it hands back.

A benchmark is a function of ``Options`` that returns ``Measured``: every sample, none thrown away. Ratios are taken
between samples of the same round, so that a machine that slows down for a while slows both sides.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

Profile = Literal["cpu-smoke", "cpu", "a100", "h100"]
Timed = Callable[[], object]


@dataclass(frozen=True)
class Options:
    """How a benchmark is run.

    Attributes:
        profile: ``cpu``, ``a100``, ``h100``: measured on such a machine; ``cpu-smoke`` only shows that it all runs, on
            tiny data.
        repeats: Rounds, each of which runs every contender once.
        cores: Cores that the process may use.
        seed: Seeds the order within a round and all drawn data.
        scratch: An empty folder that is removed afterwards.
        dicom: A folder with one DICOM series; ``None``: the real scan beside the project, else a generated one.
    """

    profile: Profile
    repeats: int
    cores: int
    seed: int
    scratch: Path
    dicom: Path | None = None

    @property
    def smoke(self) -> bool:
        """Whether only to show that it runs."""
        return self.profile == "cpu-smoke"


@dataclass(frozen=True)
class Series:
    """One measured quantity.

    Attributes:
        name: What was measured.
        unit: Of the samples, ``×`` for a ratio.
        samples: One a round, or as many as the benchmark says.
        cpu_s: Processor seconds of all threads, sample by sample, where time was measured in this process. On a busy
            machine they say more than the clock.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    cpu_s: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The median sample."""
        return statistics.median(self.samples)


@dataclass(frozen=True)
class Target:
    """A quantity with the bound that it should keep: ``at_least`` or ``at_most``."""

    series: Series
    bound: float
    sense: Literal["at_least", "at_most"]

    @property
    def met(self) -> bool:
        """Whether the median keeps the bound."""
        return self.series.median >= self.bound if self.sense == "at_least" else self.series.median <= self.bound


@dataclass(frozen=True)
class Measured:
    """What a benchmark found.

    Attributes:
        title: One line.
        config: Whatever decides the figures: shapes, sizes, threads, settings.
        series: All samples.
        targets: Those among them (or derived of them) that have a bound.
        notes: What each side does; what was left out and why.
        details: Further JSON, as tables of the benchmark's own.
        tables: Further Markdown tables by heading.
        figures: Pictures by file name: each writes itself to the path that it is given.
    """

    title: str
    config: Mapping[str, Any]
    series: tuple[Series, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


Benchmark = Callable[[Options], Measured]


def interleave(contenders: Mapping[str, Timed], repeats: int, seed: int) -> dict[str, Series]:
    """Time every contender once a round, in an order drawn anew for each round, after one round to warm up.

    Returns:
        The seconds of each contender, by its name, round by round.
    """
    names = list(contenders)
    rng = np.random.default_rng(seed)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for round_ in range(-1, repeats):
        for index in rng.permutation(len(names)):
            elapsed = seconds_of(contenders[names[index]])
            if round_ >= 0:
                seconds[names[index]].append(elapsed)
    return {name: timed_series(name, samples) for name, samples in seconds.items()}


def seconds_of(call: Timed) -> tuple[float, float]:
    """Wall seconds and processor seconds of one call."""
    started, used = time.perf_counter(), time.process_time()
    kept = call()  # freed after the clocks have stopped
    elapsed = time.perf_counter() - started, time.process_time() - used
    del kept
    return elapsed


def timed_series(name: str, samples: Sequence[tuple[float, float]]) -> Series:
    """A series of what ``seconds_of`` gave."""
    return Series(name, "s", tuple(wall for wall, _ in samples), tuple(cpu for _, cpu in samples))


def ratio(name: str, above: Series, below: Series) -> Series:
    """The quotient of two series, round by round."""
    return Series(name, "×", tuple(a / b for a, b in zip(above.samples, below.samples, strict=True)))


def run(benchmark: Benchmark, name: str, parsed: argparse.Namespace, *, repeats: int, cores: int | None) -> Measured:
    """Measure, write ``OUT/NAME/NAME.json``, ``NAME.md`` and pictures, and print the page.

    Args:
        benchmark: The benchmark.
        name: Its name.
        parsed: The command line: out, profile, repeats, cores, seed, dicom.
        repeats: Rounds unless the command line says otherwise; under ``cpu-smoke`` one.
        cores: Cores to use unless the command line says otherwise; ``None``: all.
    """
    from benchmarks.machine import load_average, machine, pinned
    from benchmarks.report import write_result

    started, load = time.perf_counter(), load_average()
    rounds = parsed.repeats or (1 if parsed.profile == "cpu-smoke" else repeats)
    wanted = parsed.cores or cores or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="dcam-bench-") as scratch, pinned(wanted) as used:
        options = Options(parsed.profile, rounds, used, parsed.seed, Path(scratch), parsed.dicom)
        measured = benchmark(options)
    about = {
        "command": _command(name, parsed, rounds, used),
        "profile": parsed.profile,
        "seed": parsed.seed,
        "repeats": rounds,
        "duration_s": round(time.perf_counter() - started, 1),
        "hardware": {**machine(), "cores_used": used, "load_before": load, "load_after": load_average()},
    }
    print(write_result(parsed.out / name, name, measured, about))
    return measured


def _command(name: str, parsed: argparse.Namespace, rounds: int, cores: int) -> str:
    dicom = " --dicom FOLDER" if parsed.dicom else ""
    return (
        f"python -m benchmarks run {name} --profile {parsed.profile} --repeats {rounds} --cores {cores} "
        f"--seed {parsed.seed}{dicom} --out DIR"
    )
