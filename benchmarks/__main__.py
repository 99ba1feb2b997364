"""The benchmark suite: ``python -m benchmarks list | run | compare | report``."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.compare import add_arguments as add_compare_arguments
from benchmarks.compare import compare
from benchmarks.harness import Profile
from benchmarks.overview import overview
from benchmarks.running import run_here, run_two_at_a_time
from benchmarks.suite import SUITE, load

CARDS = {"a100": ("A100",), "h100": ("H100", "H200")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code: 0 done, 1 a benchmark failed or a regression, 2 usage."""
    parsed = _parser().parse_args(arguments)
    code: int = parsed.do(parsed)
    return code


def _list(_: argparse.Namespace) -> int:
    for name, entry in SUITE.items():
        when = "by name " if entry.by_name else ""
        print(f"{name:20} {entry.minutes:3} min  {when}{load(name)[1].splitlines()[0]}")
    return 0


def _run(parsed: argparse.Namespace) -> int:
    if parsed.profile not in CARDS:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is filed as of a processor is measured on one
    elif missing := _missing_card(parsed.profile) or _without_a_size(parsed.names):
        print(f"--profile {parsed.profile}: {missing}", file=sys.stderr)
        return 4
    on_card = parsed.profile in CARDS
    usual = [name for name, entry in SUITE.items() if not entry.by_name and (entry.on_cards or not on_card)]
    names = parsed.names or usual
    if len(names) == 1:
        run_here(names[0], parsed)
        return 0
    if parsed.profile == "cpu-smoke":  # figures mean nothing: two at a time, without a process for each
        return run_two_at_a_time(names, parsed)
    # each in a process of its own: memory and threads of one are nothing to the next
    return max(_elsewhere(name, parsed) for name in names)


def _without_a_size(names: Sequence[str]) -> str:
    lacking = [name for name in names if not SUITE[name].on_cards]
    return f"no size for a card: {', '.join(lacking)}" if lacking else ""


def _missing_card(profile: str) -> str:
    """Why the profile of a card cannot be measured on this machine, or nothing."""
    import torch

    found = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    fits = any(card in found for card in CARDS[profile])
    return "" if fits else f"no NVIDIA {' or '.join(CARDS[profile])} here (found: {found})"


def _elsewhere(name: str, parsed: argparse.Namespace) -> int:
    given = {"--repeats": parsed.repeats, "--cores": parsed.cores, "--dicom": parsed.dicom}
    options = [part for option, value in given.items() if value is not None for part in (option, str(value))]
    own = [sys.executable, "-m", "benchmarks", "run", name, "--profile", parsed.profile, "--seed", str(parsed.seed)]
    code = subprocess.run([*own, "--out", str(parsed.out), *options], check=False).returncode
    if code:
        print(f"{name}: exit code {code}; the others go on", file=sys.stderr)
    return int(code != 0)


def _report(parsed: argparse.Namespace) -> int:
    print(overview(parsed.folder))
    return 0


def _compare(parsed: argparse.Namespace) -> int:
    return compare(parsed.before, parsed.after, parsed.bound, parsed.only)


def _listed(name: str) -> str:
    # not argparse's choices, which refuse that none is named
    if name not in SUITE:
        raise argparse.ArgumentTypeError(f"there is no benchmark {name}; python -m benchmarks list names them")
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("list", help="what there is, and how long it takes on two cores").set_defaults(do=_list)
    running = verbs.add_parser("run", help="measure, and write DIR/NAME/NAME.json, NAME.md and pictures")
    running.set_defaults(do=_run)
    running.add_argument("names", nargs="*", type=_listed, metavar="NAME", help="see list; none: all but those by name")
    running.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    running.add_argument(
        "--profile", choices=get_args(Profile), default="cpu", help="cpu-smoke only shows that it runs"
    )
    running.add_argument("--repeats", type=int, help="rounds; cpu-smoke: 1")
    running.add_argument("--cores", type=int, help="cores for either side")
    running.add_argument("--seed", type=int, default=0)
    running.add_argument("--dicom", type=Path, help="folder with one DICOM series")
    comparing = verbs.add_parser("compare", help="results B against results A; exit code 1 on a regression")
    add_compare_arguments(comparing)
    comparing.set_defaults(do=_compare)
    reporting = verbs.add_parser("report", help="one page of all results in a folder: DIR/README.md and targets.png")
    reporting.add_argument("folder", type=Path, metavar="DIR")
    reporting.set_defaults(do=_report)
    return parser


if __name__ == "__main__":
    sys.exit(main())
