"""Results B against results A: ratios with bootstrap intervals, and whether anything got worse.

A quantity got worse when the whole 95 % interval of its ratio is beyond the bound. Medians are compared, and rounds are
drawn anew on either side: the two runs need not have as many. Counted quantities, such as memory, are certain with one
sample; times and rates get no verdict from fewer than three on either side. What A has and B lacks fails as well.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import number, table

BOUND = 1.1
LIMITLESS = 1e9
DRAWS = 2000
SMALLER_IS_BETTER = {"s", "B", "KiB", "MiB", "GiB", "MB", "GB", "bytes", "B/voxel", "chunks", "checks", "policies"}
TIMED = {"s", "volumes/s", "voxels/s", "patches/s", "TFLOP/s", "GB/s", "MB/s"}
LEAST_TIMED = 3
LARGER_IS_BETTER = {"volumes/s", "patches/s", "voxels/s", "TFLOP/s", "GB/s", "voxels"}

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Compared:
    """One quantity in both results.

    Attributes:
        name: Benchmark and quantity.
        worse: How many times worse B is than A, of the medians.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Samples in A and in B.
        timed: Whether it is a time or a rate.
    """

    name: str
    worse: float
    low: float
    high: float
    n: tuple[int, int]
    timed: bool

    def verdict(self, bound: float) -> str:
        """``WORSE``, ``better``, ``too few`` or nothing."""
        if self.timed and min(self.n) < LEAST_TIMED:
            return "too few"
        return "WORSE" if self.low > bound else "better" if self.high < 1 / bound else ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of ``compare``."""
    parser.add_argument("before", type=Path, metavar="A", help="a result file, or a folder of results")
    parser.add_argument("after", type=Path, metavar="B", help="likewise")
    parser.add_argument("--bound", type=float, default=BOUND, help="a ratio beyond it is a regression (1.1)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only quantities whose names contain this")


def compare(before: Path, after: Path, bound: float, only: str = "") -> int:
    """Print the comparison.

    Returns:
        0; 1 on a regression; 2 where there is nothing to compare.
    """
    old, new = results(before), results(after)
    found = [one for one in pairs(old, new) if only in one.name]
    for line in differences(old, new):
        print(line)
    if not found:
        print(f"{before} and {after} have no quantity in common", file=sys.stderr)
        return 2
    rows = [
        [
            one.name,
            f"{one.worse:.3f} ×",
            f"{one.low:.3f} … {one.high:.3f}",
            f"{one.n[0]}, {one.n[1]}",
            one.verdict(bound),
        ]
        for one in found
    ]
    print(table(["quantity", "B is worse by", "95 %", "n", f"bound {number(bound)}"], rows))
    worse, lacking = [one.name for one in found if one.verdict(bound) == "WORSE"], list(lost(old, new, only))
    if worse:
        print(f"{len(worse)} of {len(found)} quantities got worse: {', '.join(worse)}", file=sys.stderr)
    if lacking:
        print(f"{after} lacks {', '.join(lacking)}", file=sys.stderr)
    return int(bool(worse or lacking))


def results(place: Path) -> dict[str, dict[str, Any]]:
    """Result trees by benchmark, of a file or of all files in a folder's folders."""
    files = [place] if place.is_file() else sorted([*place.glob("*.json"), *place.glob("*/*.json")])
    trees = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {tree["benchmark"]: tree for tree in trees if {"benchmark", "series", "hardware"} <= tree.keys()}


def pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Compared]:
    """Every quantity with a better direction that both have, measured in the same configuration."""
    for benchmark in old.keys() & new.keys():
        if old[benchmark]["config"] != new[benchmark]["config"]:
            continue
        before, after = (_quantities(tree) for tree in (old[benchmark], new[benchmark]))
        for name in (name for name in before if name in after):
            yield _compared(f"{benchmark}: {name}", before[name], after[name])


def lost(old: Mapping[str, Any], new: Mapping[str, Any], only: str) -> Iterator[str]:
    """Quantities of A that B lacks, of benchmarks that both have in the same configuration."""
    for benchmark in sorted(old.keys() & new.keys()):
        if old[benchmark]["config"] == new[benchmark]["config"]:
            before, after = (_quantities(tree) for tree in (old[benchmark], new[benchmark]))
            yield from (f"{benchmark}: {name}" for name in before if name not in after and only in name)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What keeps the two from being compared, and what makes the comparison doubtful."""
    for benchmark in sorted(old.keys() ^ new.keys()):
        yield f"{benchmark}: only in {'A' if benchmark in old else 'B'}"
    for benchmark in sorted(old.keys() & new.keys()):
        before, after = old[benchmark], new[benchmark]
        if before["config"] != after["config"]:
            yield f"{benchmark}: other configurations, not compared"
        if (one := _machine(before)) != (other := _machine(after)):
            yield f"{benchmark}: other machines: {one}, {other}"
        if (one := before["profile"]) != (other := after["profile"]):
            yield f"{benchmark}: other profiles: {one}, {other}"


def _machine(tree: Mapping[str, Any]) -> str:
    """Processor, cores in use, cards and torch."""
    hardware = tree["hardware"]
    cards = ", ".join(hardware.get("cards", {}).get("names", []))
    told = (
        hardware["cpu"],
        f"{hardware['cores_used']} cores",
        cards,
        f"torch {hardware['versions'].get('torch', '–')}",
    )
    return " ".join(part for part in told if part)


def _quantities(tree: Mapping[str, Any]) -> dict[str, tuple[bool, Floats, bool]]:
    """Whether smaller is better, the samples, and whether they were timed."""
    found = {}
    for series in tree["series"]:
        if series["unit"] in SMALLER_IS_BETTER | LARGER_IS_BETTER:
            samples = np.asarray(series["samples"], dtype=float)
            found[series["name"]] = series["unit"] in SMALLER_IS_BETTER, samples, series["unit"] in TIMED
    return found


def _compared(name: str, before: tuple[bool, Floats, bool], after: tuple[bool, Floats, bool]) -> Compared:
    (smaller, a, timed), (_, b, _) = before, after
    n = len(a), len(b)
    if not smaller:
        a, b = b, a
    rng = np.random.default_rng(0)
    drawn = [np.median(rng.choice(x, (DRAWS, len(x))), axis=1) for x in (a, b)]
    low, high = np.quantile(_quotient(drawn[1], drawn[0]), (0.025, 0.975))
    worse = _quotient(np.median(b, keepdims=True), np.median(a, keepdims=True))
    return Compared(name, float(worse[0]), float(low), float(high), n, timed)


def _quotient(above: Floats, below: Floats) -> Floats:
    """Nothing that stays nothing is no change; what was nothing and is no longer is beyond any bound."""
    same = np.where(above == 0, 1.0, LIMITLESS)
    return np.where(below == 0, same, above / np.where(below == 0, 1.0, below))
