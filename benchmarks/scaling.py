"""How a training step scales from 1 to 4 ranks: weak and strong efficiency, and the bytes that a step sends.

    python -m benchmarks run scaling --out DIR [--profile cpu|cpu-smoke|a100|h100] [--cores N]

Random volumes, so no store is in the figures. On a CPU gloo, one thread and one core a rank; on GPUs NCCL, one rank a
GPU. Times count as efficiency for no more ranks than there are cores; bytes are counted for all, and calculated beyond.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Measured, Options, Series, Target, ratio
from benchmarks.launched import run_ranks
from benchmarks.report import number, table
from benchmarks.scaling_figure import draw_scaling
from benchmarks.scaling_theory import Payload, payload_of
from dcam_dist.config import load_config

RANKS, SMOKE_RANKS = (1, 2, 4), (1, 2)
BEYOND = (8, 16, 64)
CASES, BATCH = 2, 4
STEPS, SMOKE_STEPS = 3, 1
GRID, SMOKE_GRID, GPU_GRID = (48, 48, 48), (16, 16, 16), (96, 96, 96)
FILTERS, SMOKE_FILTERS, GPU_FILTERS = 8, 2, 32
WIRE_BOUND = 0.02
POLICIES = ("none", "block")
MODES = {"weak": "weak", "strong": "strong", "apart": "without exchange"}
NOTES = (
    f"A step is the engine's: the ranks meet, forward, backward, update. Weak: {CASES} cases a rank; strong: {BATCH} "
    "cases over all ranks. A sample is the median of a round's steps, all of which are in the JSON; each round "
    "starts every number of ranks anew, in an order drawn for it.",
    "Without exchange: the ranks do the work of weak scaling at the same time, each for itself; they only begin and "
    "end together. What its time grows by is memory, cache and clock that the cores share, not the exchange.",
    "Weak efficiency is the step of one rank over that of n; strong the same over n. Ratios are within a round.",
    "Handed over: tensors given to c10d's collectives, counted where torch dispatches them. Sent: the kernel's count "
    "of the rank's TCP connections (`tcpi_bytes_sent`), with gloo's frames, without TCP's headers and repeats.",
    "In theory: a float32 gradient for each parameter, two float64 moments a channel and a count of each normalization "
    "forward, two sums a channel backward, two meetings of 16 bytes; a ring sends 2·(n−1)/n of what is reduced.",
)


@dataclass(frozen=True)
class Found:
    """What the ranks told.

    Attributes:
        ranks: The numbers of ranks that were run.
        limit: The most of them whose times say something about efficiency.
        theory: Of a rank and step.
        rounds: By number of ranks, what each round told.
    """

    ranks: tuple[int, ...]
    limit: int
    theory: Payload
    rounds: Mapping[int, Sequence[Mapping[str, Any]]]

    def step(self, mode: str, ranks: int) -> Series:
        """The median step of each round."""
        told = [one["seconds"][mode] for one in self.rounds[ranks]]
        name = f"{MODES[mode]}, {_ranks(ranks)}: a step"
        return Series(name, "s", _medians(told, "samples"), _medians(told, "cpu_s"))

    def efficiency(self, mode: str, ranks: int) -> Series:
        """Of the step of one rank: 1 where ranks cost nothing."""
        shares = ratio(f"{mode} efficiency, {_ranks(ranks)}", self.step(mode, 1), self.step(mode, ranks))
        return shares if mode != "strong" else Series(shares.name, "×", tuple(one / ranks for one in shares.samples))

    def efficiencies(self) -> dict[str, dict[int, Series]]:
        """By mode and number of ranks, as far as times say something about them."""
        within = [ranks for ranks in self.ranks if ranks <= self.limit]
        return {mode: {ranks: self.efficiency(mode, ranks) for ranks in within} for mode in MODES}

    def per_rank(self, what: str, ranks: int) -> list[float]:
        """A count of bytes of every rank and round; empty where it was not taken."""
        return [float(one) for told in self.rounds[ranks] for one in told.get(what, ())]

    def handed(self, ranks: int) -> list[float]:
        """Bytes handed over, of every rank and round."""
        return [a + b for a, b in zip(*(self.per_rank(what, ranks) for what in ("reduced", "gathered")), strict=True)]


def scaling(options: Options) -> Measured:
    """Every number of ranks, round by round."""
    found, settings = _found(options)
    several = [ranks for ranks in found.ranks if ranks > 1]
    efficiencies = found.efficiencies()
    sent = {ranks: bytes_ for ranks in several if (bytes_ := found.per_rank("sent", ranks))}
    return Measured(
        title="Scaling of a training step over ranks",
        config={"ranks": found.ranks, "cases a rank": CASES, "batch": BATCH, "settings": " ".join(settings)},
        series=(
            *(found.step(mode, ranks) for mode in MODES for ranks in found.ranks),
            *(series for of in efficiencies.values() for ranks, series in of.items() if ranks > 1),
            *(_kept(found, ranks) for ranks in several if ranks <= found.limit),
            *(Series(f"{_ranks(ranks)}: sent by a rank", "B", tuple(bytes_)) for ranks, bytes_ in sent.items()),
        ),
        targets=_targets(found, sent),
        notes=(*NOTES, *_limits(found)),
        details={str(ranks): list(told) for ranks, told in found.rounds.items()},
        tables={
            "Time of a step": _times(found, efficiencies),
            "Bytes of a rank in a step": _bytes(found, sent),
            "In theory, the network of 32 filters: MB that a rank sends in a step": _beyond(),
        },
        figures={"scaling.png": partial(draw_scaling, efficiencies, sent, _theory(found), found.limit)},
    )


def _found(options: Options) -> tuple[Found, list[str]]:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    limit = gpus or options.cores
    ranks = tuple(one for one in (SMOKE_RANKS if options.smoke else RANKS) if not gpus or one <= gpus)
    settings = _settings(options, on_gpu=gpus > 0)
    rounds: dict[int, list[dict[str, Any]]] = {one: [] for one in ranks}
    rng = np.random.default_rng(options.seed)
    for _ in range(options.repeats):
        for one in rng.permutation(ranks).tolist():
            rounds[one].append(_told(options, settings, one))
    return Found(ranks, limit, payload_of(load_config(None, settings)), rounds), settings


def _settings(options: Options, *, on_gpu: bool) -> list[str]:
    grid, filters = (GPU_GRID, GPU_FILTERS) if on_gpu else (GRID, FILTERS)
    grid, filters = (SMOKE_GRID, SMOKE_FILTERS) if options.smoke else (grid, filters)
    return [f"grid.shape={list(grid)}", f"network.filters={filters}", f"seed={options.seed}"]


def _told(options: Options, settings: Sequence[str], ranks: int) -> dict[str, Any]:
    out = options.scratch / "told.json"
    sizes = [f"--cases={CASES}", f"--batch={BATCH}", f"--steps={SMOKE_STEPS if options.smoke else STEPS}"]
    run_ranks(["benchmarks.scaling_rank", str(out), *settings, *sizes, f"--cores={options.cores}"], ranks)
    told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    out.unlink()
    return told


def _targets(found: Found, sent: Mapping[int, Sequence[float]]) -> tuple[Target, ...]:
    targets = []
    for ranks in (one for one in found.ranks if one > 1):
        off = tuple(abs(one - found.theory.total) for one in found.handed(ranks))
        targets.append(Target(Series(f"{_ranks(ranks)}: handed over, off the theory", "B", off), 0, "at_most"))
    for ranks, bytes_ in sent.items():
        above = tuple(abs(one / found.theory.ring(ranks) - 1) for one in bytes_)
        targets.append(Target(Series(f"{_ranks(ranks)}: sent, off a ring's", "×", above), WIRE_BOUND, "at_most"))
    return tuple(targets)


def _kept(found: Found, ranks: int) -> Series:
    return ratio(f"without exchange / weak, {_ranks(ranks)}", found.step("apart", ranks), found.step("weak", ranks))


def _limits(found: Found) -> list[str]:
    lines = []
    if over := [ranks for ranks in found.ranks if ranks > found.limit]:
        lines.append(
            f"{_ranks(max(over))} on {found.limit} cores take turns on them, so their times are no efficiency and only "
            "their bytes count."
        )
    if max(found.ranks) > 1 and not found.per_rank("sent", max(found.ranks)):
        lines.append("What NCCL sends over NVLink or shared memory is not counted by the kernel: no bytes sent here.")
    return lines


def _times(found: Found, efficiencies: Mapping[str, Mapping[int, Series]]) -> str:
    rows = []
    for ranks in found.ranks:
        times = [f"{found.step(mode, ranks).median:.3f} s" for mode in MODES]
        shares = [number(of[ranks].median) if ranks in of else "–" for of in efficiencies.values()]
        kept = number(_kept(found, ranks).median) if ranks <= found.limit else "–"
        rows.append([str(ranks), *(cell for pair in zip(times, shares, strict=True) for cell in pair), kept])
    heads = [head for name in MODES.values() for head in (f"{name}: a step", "efficiency")]
    return table(["ranks", *heads, "without exchange / weak"], rows)


def _bytes(found: Found, sent: Mapping[int, Sequence[float]]) -> str:
    theory, rows = found.theory, []
    for ranks in (*(one for one in found.ranks if one > 1), *BEYOND):
        handed = f"{median(found.handed(ranks)):,.0f}" if ranks in found.rounds else "–"
        wire = f"{median(sent[ranks]):,.0f}" if ranks in sent else "–"
        name = str(ranks) if ranks in found.rounds else f"{ranks} (theory)"
        rows.append([name, handed, f"{theory.total:,}", wire, f"{theory.ring(ranks):,.0f}"])
    return table(["ranks", "handed over", "in theory", "sent", "by a ring in theory"], rows)


def _beyond() -> str:
    policies = {name: payload_of(load_config(None, [f"network.checkpointing={name}"])) for name in POLICIES}
    counts = (*RANKS[1:], *BEYOND)
    rows = [[name, *(f"{of.ring(ranks) / 1e6:.3f}" for ranks in counts)] for name, of in policies.items()]
    return table(["checkpointing", *(_ranks(ranks) for ranks in counts)], rows)


def _theory(found: Found) -> dict[int, float]:
    return {ranks: found.theory.ring(ranks) for ranks in (*(one for one in found.ranks if one > 1), *BEYOND)}


def _medians(told: Sequence[Mapping[str, Sequence[float]]], what: str) -> tuple[float, ...]:
    return tuple(median(one[what]) for one in told)


def _ranks(count: int) -> str:
    return f"{count} rank{'s' * (count > 1)}"
