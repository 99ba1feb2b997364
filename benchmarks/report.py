"""Results on disk: JSON with every sample, Markdown with medians and ranges."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import Measured, Series, Target

FORMAT = 1


def write_result(out: Path, name: str, measured: Measured, about: Mapping[str, Any]) -> str:
    """Write ``OUT/NAME.json``, ``OUT/NAME.md`` and the figures.

    Args:
        out: Made where it is missing.
        name: Of the benchmark.
        measured: What it found.
        about: Profile, seed, repeats, duration and hardware of the run.

    Returns:
        The Markdown.
    """
    out.mkdir(parents=True, exist_ok=True)
    tree = {
        "format": FORMAT,
        "benchmark": name,
        **about,
        "title": measured.title,
        "config": dict(measured.config),
        "series": [{**asdict(one), "n": len(one.samples), "median": one.median} for one in measured.series],
        "targets": [{**asdict(one), "median": one.series.median, "met": one.met} for one in measured.targets],
        "notes": list(measured.notes),
        "details": dict(measured.details),
    }
    (out / f"{name}.json").write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for file, draw in measured.figures.items():
        draw(out / file)
    text = markdown(measured, about)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def markdown(measured: Measured, about: Mapping[str, Any]) -> str:
    """Targets first, then every series or the benchmark's own tables of them, notes and the machine."""
    lines = [f"# {measured.title}", ""]
    if about["profile"] == "cpu-smoke":
        lines += ["Profile cpu-smoke: shows that it runs; the figures mean nothing.", ""]
    if measured.targets:
        rows = [
            [one.series.name, _bound(one), *_cells(one.series), "yes" if one.met else "no"] for one in measured.targets
        ]
        lines += [table(["ratio or share", "target", "median", "lowest … highest", "n", "met"], rows), ""]
    if not measured.tables:  # else they would say it twice
        rows = [[one.name, *_cells(one), _cpu(one)] for one in measured.series]
        lines += [table(["measured", "median", "lowest … highest", "n", "processor time"], rows), ""]
    for heading, text in measured.tables.items():
        lines += [f"## {heading}", "", text, ""]
    lines += [part for file in measured.figures for part in (f"![{Path(file).stem}]({file})", "")]
    lines += [f"- {note}" for note in measured.notes]
    config = ", ".join(f"{key} {_plain(value)}" for key, value in measured.config.items())
    return "\n".join([*lines, "", f"Configuration: {config}.", "", _machine_line(about)]) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def number(value: float) -> str:
    """Three significant figures, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def _cells(series: Series) -> list[str]:
    lowest, highest = min(series.samples), max(series.samples)
    unit = "" if series.unit == "×" else f" {series.unit}"
    return [f"{number(series.median)}{unit}", f"{number(lowest)} … {number(highest)}", str(len(series.samples))]


def _cpu(series: Series) -> str:
    return f"{number(statistics.median(series.cpu_s))} s" if series.cpu_s else "–"


def _bound(target: Target) -> str:
    return f"{'≥' if target.sense == 'at_least' else '≤'} {target.bound:g}"


def _plain(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _machine_line(about: Mapping[str, Any]) -> str:
    hardware = about["hardware"]
    versions = ", ".join(f"{name} {found}" for name, found in hardware["versions"].items())
    command = f"\n\n`{about['command']}`" if "command" in about else ""
    cards = "".join(f"{key} {value}, " for key, value in hardware.get("cards", {}).items())
    return (
        f"{cards}{hardware['cpu']} ({', '.join(hardware['isa'])}), "
        f"{hardware['cores_used']} of {hardware['cores']} cores, {hardware['memory_gib']} GiB; "
        f"load {hardware['load_before']} before and {hardware['load_after']} after; "
        f"{hardware['system']}, Python {hardware['python']}, {versions}. Seed {about['seed']}, "
        f"{about['duration_s']} s in all.{command}"
    )
