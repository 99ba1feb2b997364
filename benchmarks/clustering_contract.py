"""The contract of the clustering backends as a table: backend × check.

    PYTHONPATH=tests python -m benchmarks.clustering_contract --out DIR

Each backend runs ``tests/support/cluster_contract.py``, alone and on several ranks; cuML where it and a GPU are there.
What of it does not depend on the number of ranks is compared with one rank: labels, and centroids within 1e-6.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Measured, Series, Target
from benchmarks.machine import load_average, machine
from benchmarks.report import table, write_result

WAYS = (("sklearn", 1), ("sklearn", 2), ("torch", 1), ("torch", 2), ("torch", 3), ("cuml", 1))
SAME_RANKS = "labels and centroids of one rank"


def main() -> None:
    """Run every backend and write ``clustering_contract.json`` and ``.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    started, load = time.perf_counter(), load_average()
    measured = contract()
    hardware = {**machine(), "cores_used": machine()["cores"], "load_before": load, "load_after": load_average()}
    about = {"profile": "cpu", "seed": 0, "repeats": 1, "hardware": hardware}
    about["duration_s"] = round(time.perf_counter() - started, 1)
    print(write_result(arguments.out, "clustering_contract", measured, about))


def contract() -> Measured:
    """What every backend keeps."""
    found, notes, alone = {}, [], {}
    for backend, ranks in WAYS:
        name = f"{backend}, {ranks} rank{'s' * (ranks > 1)}"
        with tempfile.TemporaryDirectory(prefix="contract-") as folder:
            problem = _start(Path(folder), backend, ranks)
            if problem:
                notes.append(f"{name}: not run here: {problem}")
                continue
            failed = json.loads(Path(folder, "contract.json").read_text(encoding="utf-8"))
            with np.load(Path(folder, "fits.npz")) as file:
                fits = dict(file)
        alone.setdefault(backend, fits)
        found[name] = {**failed, SAME_RANKS: _unlike(fits, alone[backend])}
    return _measured(found, notes)


def _start(folder: Path, backend: str, ranks: int) -> str:
    """Run the checks; why they could not be run, or nothing."""
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *launcher, "-m", "support.contract_jobs", str(folder), backend]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode == 0:
        return ""
    said = [line for line in ended.stderr.splitlines() if "EnvironmentFault" in line]
    if not said:
        raise RuntimeError(ended.stderr)
    return said[-1].partition(": ")[2]


def _unlike(fits: dict[str, Any], alone: dict[str, Any]) -> str:
    for name, values in alone.items():
        exact = name.endswith("/labels")
        same = np.array_equal(fits[name], values) if exact else np.abs(fits[name] - values).max() <= 1e-6
        if not same:
            return f"{name} differ"
    return ""


def _measured(found: dict[str, dict[str, str]], notes: list[str]) -> Measured:
    checks = list(next(iter(found.values())))
    rows = [[check, *(_cell(one[check]) for one in found.values())] for check in checks]
    failures = sum(bool(problem) for one in found.values() for problem in one.values())
    failing = Series("checks that fail", "checks", (float(failures),))
    return Measured(
        title="The contract of the clustering backends",
        config={"checks": len(checks), "backends": len(found)},
        series=(failing,),
        targets=(Target(failing, 0, "at_most"),),
        notes=tuple(notes),
        details={"found": found},
        tables={"Backend × check": table(["check", *found], rows)},
    )


def _cell(problem: str) -> str:
    return f"FAILED: {problem}" if problem else "kept"


if __name__ == "__main__":
    main()
