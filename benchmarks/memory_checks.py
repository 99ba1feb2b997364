"""Real steps of ``benchmarks.memory``: what they take, beside what was predicted of them."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.allocated import Taken, taken_by_step
from benchmarks.harness import Options, Series
from benchmarks.report import number, table
from dcam_dist.config import Config, load_config
from dcam_dist.planning.fits import EDGE, with_cube
from dcam_dist.planning.step_memory import StepMemory, predict_step

CAP_GB = 40
MIB = 2**20
CHECKED = (
    ("fp32", "none", "batch"),
    ("fp32", "block", "batch"),
    ("bf16", "none", "batch"),
    ("bf16", "block", "batch"),
    ("bf16", "conv", "batch"),
    ("bf16", "block", "instance"),
)
CPU_SIZE, CARD_SIZE, SMOKE_SIZE = (64, 16), (160, 32), (32, 8)
"""Edge and filters."""
CASES = 2
LONGEST_S = 60.0
"""For the search of what runs on a card, each policy."""


@dataclass(frozen=True)
class Check:
    """One configuration.

    Attributes:
        name: For people.
        expected: Predicted.
        taken: By real steps in fresh processes; none where they did not fit.
    """

    name: str
    expected: StepMemory
    taken: Sequence[Taken]

    @property
    def predicted(self) -> float:
        """MiB of the step alone."""
        return (self.expected.retained + self.expected.working) / MIB

    @property
    def series(self) -> tuple[Series, ...]:
        """Predicted, and what the step's tensors, the allocator and the process took; nothing if it did not fit."""
        if not self.taken:
            return ()
        return (
            Series(f"{self.name}: predicted", "MiB", (self.predicted,)),
            Series(f"{self.name}: step", "MiB", tuple(one.tensors for one in self.taken)),
            Series(f"{self.name}: allocated", "MiB", tuple(one.allocated for one in self.taken)),
            Series(f"{self.name}: process", "MiB", tuple(one.process for one in self.taken)),
        )


def on_a_card() -> bool:
    """Whether real steps run on a card here."""
    return torch.cuda.is_available()


def memory_checks(file: Path, options: Options) -> list[Check]:
    """Each precision, policy and normalization that is checked, one after another."""
    edge, filters = SMOKE_SIZE if options.smoke else CARD_SIZE if on_a_card() else CPU_SIZE
    found = []
    for precision, policy, norm in CHECKED[:1] if options.smoke else CHECKED:
        network = [f"network.precision={precision}", f"network.checkpointing={policy}", f"network.norm={norm}"]
        config = with_cube(load_config(file, [*network, f"network.filters={filters}"]), edge)
        expected = predict_step(config, CASES, "cuda" if on_a_card() else "cpu")
        taken = taken_by_step(config, CASES, options.repeats, options.cores, CAP_GB)
        found.append(
            Check(f"{precision}, {policy}, {norm} norm, {CASES} × {edge}³, {filters} filters", expected, taken)
        )
    return found


def worst(checks: Sequence[Check]) -> Series:
    """How far the prediction of a step's tensors is from those of real steps, at worst."""
    off = [abs(check.predicted / check.series[1].median - 1) for check in checks if check.taken]
    return Series(
        "predicted / tracked − 1 of a step's tensors, the worst of all checks", "×", (max(off, default=math.inf),)
    )


def checks_table(checks: Sequence[Check]) -> str:
    """Step and process, predicted and taken."""
    rows = []
    for check in checks:
        if not check.taken:
            rows.append([check.name, number(check.predicted), "did not fit", *[""] * 6])
            continue
        _, *taken, process = check.series
        whole, cells = check.expected.peak / MIB, [number(check.predicted)]
        for found in taken:
            cells += [number(found.median), f"{check.predicted / found.median - 1:+.1%}"]
        cells += [number(whole), number(process.median), f"{whole / process.median - 1:+.1%}"]
        rows.append([check.name, *cells])
    heads = ["step predicted, MiB", "tensors", "off by", "allocated", "off by"]
    heads += ["all parts predicted, MiB", "process grew by", "off by"]
    return table(["", *heads], rows)


def largest_that_ran(predicted: Mapping[str, tuple[Config, int]], options: Options) -> dict[str, int]:
    """Edge of the largest cube of which a real step ran on a card under the cap, tried from the prediction on.

    Args:
        predicted: Configuration and predicted edge, by name.
        options: Of the run.

    Returns:
        By name; empty without a card.
    """
    if not on_a_card():
        return {}
    return {name: _largest(config, edge, options) for name, (config, edge) in predicted.items()}


def _largest(config: Config, edge: int, options: Options) -> int:
    started = time.monotonic()
    while edge > 0 and not _runs(config, edge, options):
        edge -= EDGE
    while edge > 0 and time.monotonic() - started < LONGEST_S and _runs(config, edge + EDGE, options):
        edge += EDGE
    return edge


def _runs(config: Config, edge: int, options: Options) -> bool:
    return bool(taken_by_step(with_cube(config, edge), 1, 1, options.cores, CAP_GB))
