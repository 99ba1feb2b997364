"""The proposed method against its baseline on generated cohorts, several seeds, with nulls and honest baselines.

    python -m benchmarks.phantom_study --out OUT [--seeds 101 102 103 104 105] [--cases 72]

A seed makes its own cohort and its own training. No choice of the generator or of the method was made on these seeds.
Writes OUT/study.json (every score of every seed, hardware, versions) and OUT/study.md (medians and ranges).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dcam_dist.config import load_config
from dcam_dist.evaluation import evaluate
from dcam_dist.ingest import ingest
from dcam_dist.phantom import write_phantom_cohort

CONFIG = Path(__file__).parents[1] / "configs" / "demo.yaml"
METHODS = ("dcam", "baseline")
METRICS = (
    "clustering_accuracy",
    "null_mean",
    "null_p95",
    "majority_share",
    "adjusted_rand",
    "nmi",
    "weighted_kappa",
    "within_one_grade",
    "silhouette",
    "davies_bouldin",
)


def main() -> None:
    """Run the seeds one after the other; a seed whose scores are there is not run again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--cases", type=int, default=72)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    results = {}
    for seed in arguments.seeds:
        folder = arguments.out / f"seed-{seed}"
        scores = folder / "scores.json"
        if not scores.is_file():
            scores.write_text(json.dumps(run_seed(folder, seed, arguments.cases, arguments.processes)))
        results[seed] = json.loads(scores.read_text())
        print(f"seed {seed} done", flush=True)
    study = {"cases": arguments.cases, "seeds": results, "config": CONFIG.name, **machine()}
    (arguments.out / "study.json").write_text(json.dumps(study, indent=1))
    (arguments.out / "study.md").write_text(report(study))
    print(report(study))


def run_seed(folder: Path, seed: int, cases: int, processes: int) -> dict[str, Any]:
    """One cohort, both methods; the scores of every row and the seconds it took."""
    started = time.perf_counter()
    config = load_config(CONFIG, [f"seed={seed}"])
    if not (folder / "scans" / "cases.csv").is_file():
        write_phantom_cohort(folder / "scans", cases=cases, seed=seed, format="nifti")
    ingest([folder / "scans" / "cases.csv"], folder / "cohort.zarr", config=config)
    for method in METHODS:
        settings = [
            f"seed={seed}",
            f"method={method}",
            f"data.cohort={folder / 'cohort.zarr'}",
            f"output={folder / method}",
        ]
        launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", "-m", "dcam_dist"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*launcher, "train", "--config", str(CONFIG), *settings], check=True, env=environment)
    rows = evaluate([folder / method for method in METHODS]).methods
    scores = {name: row.to_dict() for name, row in rows.items()}
    return {"rows": scores, "seconds": time.perf_counter() - started}


def report(study: dict[str, Any]) -> str:
    """Medians and ranges over the seeds, and how often a row beat its own null."""
    lines = [
        f"{study['cases']} generated cases a seed, {len(study['seeds'])} seeds, test split, "
        f"`configs/{study['config']}`. Median [lowest, highest] over the seeds.",
        "",
        "| method | ACC | its null's 95th percentile | seeds above it | ARI | NMI | κ | silhouette | DB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first = next(iter(study["seeds"].values()))["rows"]
    for name in first:
        tests = [seed["rows"][name]["test"] for seed in study["seeds"].values()]
        above = sum(test["clustering_accuracy"] > test["null_p95"] for test in tests)
        columns = ("adjusted_rand", "nmi", "weighted_kappa", "silhouette", "davies_bouldin")
        cells = [_spread(tests, "clustering_accuracy"), _spread(tests, "null_p95"), f"{above} of {len(tests)}"]
        lines.append(f"| {name} | " + " | ".join(cells + [_spread(tests, column) for column in columns]) + " |")
    lines += ["", f"Hardware: {study['cpu']}, {study['cores']} cores; {study['versions']}."]
    return "\n".join(lines) + "\n"


def machine() -> dict[str, Any]:
    """What the figures were made on and with."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    packages = ("dcam-dist", "torch", "scikit-learn", "numpy", "zarr")
    return {"cpu": model, "cores": os.cpu_count(), "versions": {name: version(name) for name in packages}}


def _spread(tests: list[dict[str, Any]], metric: str) -> str:
    values = [test[metric] for test in tests if test[metric] is not None]
    if not values:
        return "–"
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


if __name__ == "__main__":
    main()
