"""``demo``: the whole method on a small synthetic cohort, from DICOM to the table, the figure and the report."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dcam_dist.config import Config, load_config
from dcam_dist.errors import EnvironmentFault, UsageError

CASES = 36
METHODS = ("dcam", "baseline")


def run_demo(
    out: Path, *, processes: int = 2, config_file: Path | None = None, say: Callable[[str], None] = print
) -> dict[str, Path]:
    """Generate, ingest, train both methods under torchrun, compare them, and draw and report the proposed one.

    A second call in the same folder keeps what is there and does the rest.

    Args:
        out: Folder of everything that is made.
        processes: Ranks that train.
        config_file: Settings; ``None`` for ``configs/demo.yaml`` of the source tree.
        say: Receives a line for each step.

    Returns:
        What was made, by name.

    Raises:
        UsageError: When the folder holds something else, or a rank would have no case in a batch.
        EnvironmentFault: When a training ends with an error, which it has told itself.
    """
    started = time.perf_counter()
    file = config_file or Path(__file__).parents[1] / "configs" / "demo.yaml"
    config = load_config(file)
    if not 1 <= processes <= config.training.batch_size:
        raise UsageError(f"--processes {processes}: from 1 to {config.training.batch_size}, the cases in a batch")
    scans, cohort = out / "scans", out / "cohort.zarr"
    begun = (scans / "cases.csv").is_file() or _unfinished(scans).exists()
    if out.exists() and any(out.iterdir()) and not begun:
        raise UsageError(f"{out}: exists and is not a demo; choose another --out")
    _make_cohort(scans, cohort, config, say)
    runs = {method: out / method for method in METHODS}
    for method, run in runs.items():
        say(f"train {method} on {processes} processes → {run}")
        _train(file, method, cohort, run, processes)
    figure, report = _compare_and_draw(runs, out, say)
    made = {
        "scans": scans,
        "cohort": cohort,
        **runs,
        "table": out / "comparison.md",
        "figure": figure,
        "report": report,
    }
    say(f"done in {time.perf_counter() - started:.0f} s; made:")
    for name, path in made.items():
        say(f"  {name:9s} {path}")
    return made


def _make_cohort(scans: Path, cohort: Path, config: Config, say: Callable[[str], None]) -> None:
    from dcam_dist.ingest import ingest
    from dcam_dist.phantom import write_phantom_cohort

    if not scans.exists():
        say(f"generate {CASES} synthetic chest CTs as DICOM → {scans}")
        shutil.rmtree(_unfinished(scans), ignore_errors=True)
        write_phantom_cohort(_unfinished(scans), cases=CASES, seed=config.seed)
        _unfinished(scans).rename(scans)
    say(f"ingest → {cohort}")
    summary = ingest([scans / "cases.csv"], cohort, config=config)
    say(f"  {summary.accepted} cases accepted, {len(summary.quarantined)} set aside")


def _unfinished(scans: Path) -> Path:
    return scans.with_name(f".{scans.name}-unfinished")


def _train(config_file: Path, method: str, cohort: Path, run: Path, processes: int) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", "-m", "dcam_dist"]
    settings = [f"method={method}", f"data.cohort={cohort}", f"output={run}"]
    threads = str(max(1, len(os.sched_getaffinity(0)) // processes))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
    ended = subprocess.run([*launcher, "train", "--config", str(config_file), *settings], env=environment, check=False)
    if ended.returncode:
        raise EnvironmentFault(f"training {method} ended with {ended.returncode}; its message is above")


def _compare_and_draw(runs: dict[str, Path], out: Path, say: Callable[[str], None]) -> tuple[Path, Path]:
    from rich.console import Console

    from dcam_dist.evaluation import evaluate, render_console
    from dcam_dist.maps import write_maps
    from dcam_dist.report.build import write_report

    say("evaluate")
    result = evaluate(list(runs.values()), out=out)
    render_console(result.methods, "test", Console(width=150))
    say("draw the maps")
    summary = write_maps(runs["dcam"])
    say("write the report")
    return summary.figure or runs["dcam"] / "maps", write_report(runs["dcam"])
