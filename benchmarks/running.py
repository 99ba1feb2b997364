"""Benchmarks run in this process, or two at a time in others."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

from benchmarks.harness import run
from benchmarks.suite import SUITE, load


def run_here(name: str, parsed: argparse.Namespace) -> None:
    """Measure one benchmark as the suite says, unless the command line says otherwise."""
    entry = SUITE[name]
    run(load(name)[0], name, parsed, repeats=entry.repeats, cores=entry.cores)


def run_two_at_a_time(names: Sequence[str], parsed: argparse.Namespace) -> int:
    """Run them in two processes; the exit code: 1 where one failed, after all others have run."""
    options = {name: value for name, value in vars(parsed).items() if name != "do"}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return max(pool.map(_going_on, names, repeat(argparse.Namespace(**options))))


def _going_on(name: str, parsed: argparse.Namespace) -> int:
    try:
        run_here(name, parsed)
    except Exception:
        traceback.print_exc()
        print(f"{name}: failed; the others go on", file=sys.stderr)
        return 1
    return 0
