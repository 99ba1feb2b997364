"""Results B against results A: ratios with bootstrap intervals, and whether anything got worse.

A quantity got worse when the whole 95 % interval of its ratio is beyond the bound. Medians are compared, and rounds are
drawn anew on either side: the two runs need not have as many. One sample on either side gives no interval; its ratio
is then taken for certain, which suits counted memory and not times.
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
DRAWS = 2000
SMALLER_IS_BETTER = {"s", "B", "KiB", "MiB", "GiB", "MB", "GB", "bytes", "B/voxel", "chunks", "checks", "policies"}
LARGER_IS_BETTER = {"volumes/s", "patches/s", "voxels/s", "TFLOP/s", "GB/s", "voxels"}


@dataclass(frozen=True)
class Compared:
    """One quantity in both results.

    Attributes:
        name: Benchmark and quantity.
        worse: How many times worse B is than A, of the medians.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: Samples in A and in B.
    """

    name: str
    worse: float
    low: float
    high: float
    n: tuple[int, int]

    def verdict(self, bound: float) -> str:
        """``WORSE``, ``better`` or nothing."""
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
    worse = [one.name for one in found if one.verdict(bound) == "WORSE"]
    if worse:
        print(f"{len(worse)} of {len(found)} quantities got worse: {', '.join(worse)}", file=sys.stderr)
    return int(bool(worse))


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


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """What keeps the two from being compared, and what makes the comparison doubtful."""
    for benchmark in sorted(old.keys() ^ new.keys()):
        yield f"{benchmark}: only in {'A' if benchmark in old else 'B'}"
    for benchmark in sorted(old.keys() & new.keys()):
        before, after = old[benchmark], new[benchmark]
        if before["config"] != after["config"]:
            yield f"{benchmark}: other configurations, not compared"
        if before["hardware"]["cpu"] != after["hardware"]["cpu"]:
            yield f"{benchmark}: other machines: {before['hardware']['cpu']}, {after['hardware']['cpu']}"


def _quantities(tree: Mapping[str, Any]) -> dict[str, tuple[float, np.ndarray[Any, np.dtype[np.float64]]]]:
    found = {}
    for series in tree["series"]:
        if series["unit"] in SMALLER_IS_BETTER | LARGER_IS_BETTER and series["median"] > 0:
            found[series["name"]] = series["unit"] in SMALLER_IS_BETTER, np.asarray(series["samples"], dtype=float)
    return found


def _compared(name: str, before: tuple[float, Any], after: tuple[float, Any]) -> Compared:
    (smaller, a), (_, b) = before, after
    if not smaller:
        a, b = b, a
    rng = np.random.default_rng(0)
    drawn = [np.median(rng.choice(x, (DRAWS, len(x))), axis=1) for x in (a, b)]
    low, high = np.quantile(drawn[1] / drawn[0], (0.025, 0.975))
    n = (len(before[1]), len(after[1]))
    return Compared(name, float(np.median(b) / np.median(a)), float(low), float(high), n)
