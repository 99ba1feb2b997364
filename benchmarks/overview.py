"""One page of all results in a folder: what was aimed at and what was reached."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.compare import results
from benchmarks.report import number, table

PAGE, PICTURE = "README.md", "targets.png"


def overview(folder: Path) -> str:
    """Write ``DIR/README.md`` and ``DIR/targets.png``, a line a bound and a line a benchmark.

    Returns:
        The page.
    """
    trees = results(folder)
    targets = [(name, target) for name, tree in trees.items() for target in tree["targets"]]
    _draw(targets, folder / PICTURE)
    lines = ["# Results of the benchmark suite", ""]
    lines += ["Made from the result files by `python -m benchmarks report`; each links to its own page.", ""]
    lines += ["## Bounds", "", f"![how far each is from its bound]({PICTURE})", "", _targets(targets), ""]
    lines += ["## Benchmarks", "", _benchmarks(trees, folder), ""]
    lines += ["## Pictures", "", *_pictures(trees, folder)]
    page = "\n".join(lines)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return page


def _targets(targets: list[tuple[str, Mapping[str, Any]]]) -> str:
    rows = []
    for name, target in targets:
        series, sign = target["series"], "≥" if target["sense"] == "at_least" else "≤"
        samples = series["samples"]
        spread = f"{number(min(samples))} … {number(max(samples))}"
        bound = f"{sign} {target['bound']:g}"
        rows.append([name, series["name"], bound, number(target["median"]), spread, str(len(samples))])
        rows[-1].append("yes" if target["met"] else "**no**")
    return table(["benchmark", "ratio or share", "bound", "median", "lowest … highest", "n", "met"], rows)


def _benchmarks(trees: Mapping[str, Mapping[str, Any]], folder: Path) -> str:
    rows = []
    for name, tree in trees.items():
        page = next(
            path.relative_to(folder) for path in (folder / name / f"{name}.md", folder / f"{name}.md") if path.is_file()
        )
        hardware = tree["hardware"]
        machine = f"{hardware['cpu']}, {hardware['cores_used']} cores, torch {hardware['versions'].get('torch', '–')}"
        rows.append([f"[{name}]({page})", tree["title"], machine, f"{tree['duration_s']:.0f} s"])
    return table(["benchmark", "what", "on", "took"], rows)


def _pictures(trees: Mapping[str, Mapping[str, Any]], folder: Path) -> Iterator[str]:
    for name, tree in trees.items():
        for path in sorted((folder / name).glob("*.png")):
            yield f"![{tree['title']}: {path.stem.replace('_', ' ')}]({path.relative_to(folder)})"
            yield ""


def _draw(targets: list[tuple[str, Mapping[str, Any]]], path: Path) -> None:
    """Median over bound, oriented so that right of the line is better."""
    names = [f"{name}: {target['series']['name']}" for name, target in targets]
    reached = [_reached(target) for _, target in targets]
    figure, axes = plt.subplots(figsize=(10, 0.6 + 0.3 * len(targets)), layout="constrained")
    colours = ["#0072b2" if value >= 1 else "#d55e00" for value in reached]
    axes.barh(range(len(reached)), [value - 1 for value in reached], left=1, color=colours)
    axes.set_yticks(range(len(names)), [name[:70] for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("median against its bound: right of the line the bound is met")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _reached(target: Mapping[str, Any]) -> float:
    """How many times the bound is met; at most 100, at least 0.01."""
    bound, median = target["bound"], target["median"]
    value = 1.0 if median == bound else median / bound if bound else 0.0
    if target["sense"] == "at_most":
        value = 1 / value if value else 100.0
    return float(min(100.0, max(0.01, value)))
