"""Broken inputs by the ten thousand: DICOM, NIfTI, NRRD and MetaImage, case tables, configurations.

    python -m benchmarks.fuzz --n 10000 --out DIR [--target dicom|nifti|nrrd|csv|config] [--seed S]

Every input is made from its seed alone and sent along the public path in a process that is watched from outside. A
finding is a traceback, a process that hangs, dies or asks for memory that its input does not need, a line that holds
the made-up patient's name or path, or voxels that are not those under a checksum. ``--n 1 --seed S`` repeats one input;
inputs with findings are kept in ``DIR/findings``.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzz.parent import Result, fuzz
from fuzz.targets import FUZZED, TARGETS

NAME = "fuzz"


def main() -> int:
    """Run, write ``fuzz.json`` and ``fuzz.md``; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000, help="inputs of each target")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--target", choices=tuple(TARGETS), help="one kind of input; all without it")
    parser.add_argument("--seed", type=int, default=100_000, help="the first seed")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = []
    for target in (arguments.target,) if arguments.target else FUZZED:
        results.append(fuzz(target, first=arguments.seed, count=arguments.n, keep=arguments.out / "findings"))
        print(_line(results[-1]), flush=True)
        for finding in results[-1].findings:
            print(f"  {finding.line}", flush=True)
    about = {"seed": arguments.seed, "n": arguments.n, "hardware": machine()}
    tree = {"benchmark": NAME, **about, "targets": [_tree(result) for result in results]}
    (arguments.out / f"{NAME}.json").write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (arguments.out / f"{NAME}.md").write_text(_markdown(results, about), encoding="utf-8")
    return 1 if any(result.findings for result in results) else 0


def _line(result: Result) -> str:
    bound = "" if result.findings or not result.inputs else f" (95 % upper bound {3 / result.inputs:.2%})"
    return (
        f"{result.target}: {len(result.findings)} findings in {result.inputs} inputs{bound}, {result.seconds:.0f} s, "
        f"the slowest {result.slowest_s:.2f} s"
    )


def _tree(result: Result) -> dict[str, Any]:
    return {
        "target": result.target,
        "inputs": result.inputs,
        "seconds": round(result.seconds, 1),
        "slowest_s": round(result.slowest_s, 3),
        "outcomes": dict(result.outcomes.most_common()),
        "findings": [finding.line for finding in result.findings],
    }


def _markdown(results: list[Result], about: dict[str, Any]) -> str:
    hardware = about["hardware"]
    lines = [
        "# Broken inputs",
        "",
        "| target | inputs | findings | 95 % upper bound | time | slowest input | most frequent outcomes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        outcomes = ", ".join(f"{name} {count}" for name, count in result.outcomes.most_common(6))
        bound = "–" if result.findings or not result.inputs else f"{3 / result.inputs:.2%}"
        lines.append(
            f"| {result.target} | {result.inputs} | {len(result.findings)} | {bound} | {result.seconds:.0f} s | "
            f"{result.slowest_s:.2f} s | {outcomes} |"
        )
    lines += ["", *(f"- {finding.line}" for result in results for finding in result.findings)]
    lines.append(
        f"Seeds from {about['seed']} on; {hardware['cpu']}, one of {hardware['cores']} cores, "
        f"{hardware['memory_gib']} GiB; {hardware['system']}, Python {hardware['python']}."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
