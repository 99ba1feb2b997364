"""``docs/faults.md``, made of the fault table and of what its tests saw.

PYTHONPATH=tests:. python tests/support/fault_matrix.py run      # plays every row: minutes; writes RESULTS
PYTHONPATH=tests:. python tests/support/fault_matrix.py render   # writes the page
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from faults.training_faults import ROWS
from faults.training_guards import GUARDS, PROBES
from support.fault_rows import Guard, Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
RESULTS = ROOT / "benchmarks" / "results" / "faults" / "faults.json"
TESTS = "tests/faults/test_training_faults.py"
FAULT, GUARD = f"{TESTS}::test_fault", f"{TESTS}::test_without_its_guard_the_same_test_fails"
AS_JSON = ("starts", "kills")
_PATH = re.compile(r"(?<![\w.…/])(/[^\s/:;,()\[\]]+)+/(?=[^\s/])")


class Recorder:
    """A plugin of pytest that keeps the outcome of each test, and what it recorded."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of setup, call and teardown."""
        kept = self.tests.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0})
        kept["seconds"] = round(kept["seconds"] + report.duration, 1)
        if report.outcome != "passed":
            kept["outcome"] = report.outcome
        kept |= {name: json.loads(value) if name in AS_JSON else value for name, value in report.user_properties}


def run(chosen: Sequence[str] = ()) -> int:
    """Run the tests of all rows and guards and write what they saw.

    Args:
        chosen: Arguments of pytest that choose among them; the results of the others are kept.
    """
    from benchmarks.machine import machine

    recorder = Recorder()
    named = dict.fromkeys([TESTS, *(test for row in ROWS for test in row.tests), *(guard.test for guard in GUARDS)])
    everything = [*filter(None, named), "-q", "-m", "", "-p", "no:cacheprovider"]
    code = pytest.main([*everything, *chosen], plugins=[recorder])
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["tests"] if chosen else {}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    tests = without_paths({**before, **recorder.tests})
    tree = {"hardware": machine(), "tests": dict(sorted(tests.items()))}
    RESULTS.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(code)


def without_paths(tree: Any) -> Any:
    """Of each path in what was said, its last name."""
    if isinstance(tree, dict):
        return {key: without_paths(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [without_paths(value) for value in tree]
    return _PATH.sub("…/", tree) if isinstance(tree, str) else tree


_INTRODUCTION = """\
# Faults of training

Every fault ends in one of three ways: **R** recovered, **Q** the case is set aside and the run goes on, **S** stopped
with one line and a documented exit code, the last checkpoint intact. Exit codes: 0 done, 2 usage or configuration,
3 data, 4 environment, 75 stopped on request. The table is `tests/faults/training_faults.py`; this page is made of it
and of the results of its tests by `tests/support/fault_matrix.py`. Where it says "the same to the last bit", weights,
optimizer state, random generators, clusters and metrics equal those of a run that nothing happened to.
"""
_GUARDS = """
## The guards

What keeps a fault from doing harm, taken out of the program in turn: the fault's row, or the test named, must then
see the harm, and does.
"""


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    tests = results["tests"]
    rows = [_row(row, tests) for row in ROWS]
    guards = [_guard(guard, tests) for guard in GUARDS]
    head = ["| Fault | How it is injected | Must | Seen | What is said | Tests |", "|---|---|---|---|---|---|"]
    guard_head = ["| Guard | Fails without it | Seen then | Tests |", "|---|---|---|---|"]
    campaigns = ["", "## Long campaigns", "", *_campaigns(), ""] if _campaigns() else []
    return "\n".join([_INTRODUCTION, *head, *rows, _GUARDS, *guard_head, *guards, *campaigns, _machine(results), ""])


def outcome(of: Row | Guard, tests: Mapping[str, Any]) -> tuple[int, int]:
    """How many tests of a row or guard passed, of how many."""
    own = f"{FAULT}[{of.key}]" if isinstance(of, Row) else of.test or f"{GUARD}[{of.name}]"
    named = (own, *of.tests) if isinstance(of, Row) else (own,)
    beginnings = tuple(f"{name}{more}" for name in named for more in ("[", "::"))
    found = [test for name, test in tests.items() if name in named or name.startswith(beginnings)]
    return sum(test["outcome"] == "passed" for test in found), len(found)


def _row(row: Row, tests: Mapping[str, Any]) -> str:
    starts = tests.get(f"{FAULT}[{row.key}]", {}).get("starts", [])
    seen = " → ".join(_seen(start) for start in starts) or _kills(row, tests)
    end = {"bits": "; the same to the last bit", "close": "; the same within tolerance", "": ""}[row.same]
    lines = "<br>".join(dict.fromkeys(_plain(start["line"]) for start in starts if start["line"]))
    passed, of = outcome(row, tests)
    return f"| {row.fault} | {row.how} | {row.expected} | {seen}{end} | {lines} | {passed} of {of} |"


def _kills(row: Row, tests: Mapping[str, Any]) -> str:
    kills = [kill for name, test in tests.items() if name.startswith(row.tests) for kill in _told(test)]
    phases = Counter(phase for phase, *_ in kills)
    counted = ", ".join(f"{phase} {count}" for phase, count in phases.items())
    return f"{len(kills)} kills ({counted}); the same to the last bit" if kills else "–"


def _told(test: Mapping[str, Any]) -> list[Any]:
    kills = test.get("kills", [])
    return json.loads(kills) if isinstance(kills, str) else kills


def _seen(start: Mapping[str, Any]) -> str:
    code = {0: "done", -9: "killed"}.get(start["exit"], f"exit {start['exit']}")
    return f"{code} ({start['seconds']:.0f} s)"


def _plain(line: str) -> str:
    """A line as a cell of a table."""
    return " ".join(line.split()).removeprefix("dcam-dist: ").replace("|", "\\|").replace("<", "&lt;")


def _guard(guard: Guard, tests: Mapping[str, Any]) -> str:
    passed, of = outcome(guard, tests)
    seen = _plain(tests.get(f"{GUARD}[{guard.name}]", {}).get("seen", "") if guard.row else guard.seen)
    row = next((row.fault for row in (*ROWS, *PROBES) if row.key == guard.row), guard.test.rpartition("::")[2])
    return f"| {guard.what} | {row.replace('test_', '').replace('_', ' ')} | {seen} | {passed} of {of} |"


def _campaigns() -> list[str]:
    files = [ROOT / name for row in ROWS for name in row.results if (ROOT / name).is_file()]
    pages = [file.with_suffix(".md") for file in files]
    return [f"- [{page.stem}](../{page.relative_to(ROOT)})" for page in pages if page.is_file()]


def _machine(results: Mapping[str, Any]) -> str:
    hardware = results["hardware"]
    return (
        f"\n{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB, {hardware['system']}; Python "
        f"{hardware['python']}, torch {hardware['versions']['torch']}, gloo."
    )


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    if arguments[:1] == ["run"]:
        return run(arguments[1:])
    if list(arguments) == ["render"]:
        PAGE.write_text(render(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
        return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
