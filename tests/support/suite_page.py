"""A page of what a suite has shown, from pytest's own XML: ``python -m support.suite_page XML PAGE TITLE COMMAND``."""

import sys
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.machine import machine


def page(xml: Path, title: str, command: str) -> str:
    """Markdown: counts, the machine, and a line for each test."""
    cases = list(ElementTree.parse(xml).getroot().iter("testcase"))  # noqa: S314 - written by pytest just now
    rows = [f"| {_words(case)} | {_outcome(case)} | {float(case.get('time', 0)):.0f} |" for case in cases]
    outcomes = [_outcome(case) for case in cases]
    counts = ", ".join(f"{outcomes.count(name)} {name}" for name in dict.fromkeys(outcomes))
    here = machine()
    on = f"{here['cpu']}, {here['cores']} cores; {here['system']}"
    minutes = sum(float(case.get("time", 0)) for case in cases) / 60
    lines = [
        f"# {title}",
        "",
        f"`{command}`: {counts}, in {minutes:.0f} minutes. {on}; Python {here['python']}, "
        f"torch {here['versions'].get('torch')}.",
        "",
        "| Test | Outcome | Seconds |",
        "|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _words(case: ElementTree.Element) -> str:
    return case.get("name", "").removeprefix("test_").replace("_", " ").replace("|", "\\|")


def _outcome(case: ElementTree.Element) -> str:
    for kind in ("failure", "error", "skipped"):
        if case.find(kind) is not None:
            return {"failure": "failed", "error": "failed", "skipped": "skipped"}[kind]
    return "passed"


if __name__ == "__main__":
    source, target, *words = sys.argv[1:]
    Path(target).write_text(page(Path(source), *words), encoding="utf-8")
