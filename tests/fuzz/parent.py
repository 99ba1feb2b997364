"""Runs inputs in a process of their own and watches it: what it says, whether it hangs, whether it dies."""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.scratch import CANARY

ROOT = Path(__file__).parents[2]
STUCK_S = 30.0
"""Wall time after which an input is taken to hang, on however busy a machine; processor time is judged inside."""
START_S = 180.0
MOST_FINDINGS = 50
CHILD = "fuzz.child"


@dataclass(frozen=True)
class Finding:
    """One input that did what must not happen."""

    target: str
    seed: int
    mutation: str
    problems: tuple[str, ...]

    @property
    def line(self) -> str:
        """All of it, with the command that repeats it."""
        again = f"python -m benchmarks.fuzz --target {self.target} --n 1 --seed {self.seed} --out DIR"
        return f"{self.target} {self.seed} [{self.mutation}] {'; '.join(self.problems)} ({again})"


@dataclass
class Result:
    """What became of the inputs of one target."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def fuzz(target: str, *, first: int, count: int, keep: Path | None = None) -> Result:
    """Run the inputs of ``count`` seeds from ``first`` on.

    Args:
        target: A name in ``fuzz.targets``.
        first: The first seed.
        count: How many.
        keep: A folder for the inputs with findings.
    """
    result, started, seed = Result(target), time.monotonic(), first
    with tempfile.TemporaryDirectory(prefix=f"{CANARY}-") as scratch:
        while seed < first + count and len(result.findings) < MOST_FINDINGS:
            seed = _run_until_it_ends(result, Path(scratch), seed, first + count - seed)
        for finding in result.findings:
            made = Path(scratch) / f"{CANARY}-{target}-{finding.seed}"
            if keep is not None and made.is_dir():
                shutil.copytree(made, keep / f"{target}-{finding.seed}", dirs_exist_ok=True)
    result.seconds = time.monotonic() - started
    return result


def _run_until_it_ends(result: Result, scratch: Path, first: int, count: int) -> int:
    """One process; returns the seed after the last that it did, or that ended it."""
    command = [sys.executable, "-X", "faulthandler", "-m", CHILD, result.target, scratch, str(first), str(count)]
    child = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE)
    seed, mutation, stuck = None, "", False
    try:
        for line in _lines(child):
            if "begin" in line:
                seed, mutation = line["begin"], line["mutation"]
            else:
                _take(result, line)
                seed = line["end"] + 1
    except TimeoutError:
        child.kill()
        stuck = True
    finally:
        code = child.wait()
    if seed is None:
        raise RuntimeError(
            f"{result.target}: the process did not get as far as its first input: {_last_words(scratch)}"
        )
    if seed == first + count:
        return seed
    what = f"no answer within {STUCK_S:.0f} s" if stuck else f"the process ended with {code}"
    result.inputs += 1
    result.outcomes["process lost"] += 1
    result.findings.append(Finding(result.target, seed, mutation, (f"{what}: {_last_words(scratch)}",)))
    return seed + 1


def _last_words(scratch: Path) -> str:
    output = scratch / "output"
    said = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    fatal = max(said.find("Fatal Python error"), said.find("Timeout ("))
    return " | ".join((said[fatal:] if fatal >= 0 else said[-600:]).splitlines())[:1000]


def _lines(child: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    rest, patience = b"", START_S
    while True:
        if not select.select([child.stdout], [], [], patience)[0]:
            raise TimeoutError
        block = os.read(child.stdout.fileno(), 1 << 16)
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield json.loads(line)
        patience = STUCK_S


def _take(result: Result, line: dict[str, Any]) -> None:
    result.inputs += 1
    result.slowest_s = max(result.slowest_s, line["seconds"])
    result.outcomes.update(line["outcomes"] or ["nothing"])
    if line["problems"]:
        result.findings.append(Finding(result.target, line["end"], line["mutation"], tuple(line["problems"])))


def _environment() -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    threads["MALLOC_ARENA_MAX"] = "2"  # each further one takes 64 MB of address space
    itk = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    return {**os.environ, **threads, **itk, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
