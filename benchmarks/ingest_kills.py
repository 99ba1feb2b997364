"""Kill ingest at random points, call it again, and compare the cohort with one that was never disturbed.

    python -m benchmarks.ingest_kills --n 20 --out DIR [--cases 16] [--seed 0]

Half of the kills take the whole process group, half the main process alone, whose workers must follow it. Half are
timed from the first sign of the cohort, half from the first sign of a case that is being written.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from dcam_dist.phantom import write_phantom_cohort

REPOSITORY = Path(__file__).parents[1]
SETTINGS = ("grid.shape=[32,32,32]", "ingest.workers=2")
SIGNS = ("zarr.json", ".incoming/*")
"""Of the cohort, and of its first case on its way in."""
ORPHANS_S = 10.0
DEADLINE_S = 600.0


@dataclass(frozen=True)
class Kill:
    """What one kill met and what came of it.

    Attributes:
        sign: The file pattern whose first match the kill was timed from.
        after_s: Seconds from then to the kill.
        group: Whether all processes were killed, or the main one alone.
        cases_whole: Cases in place at the kill.
        unfinished: Entries of the folder for unfinished things at the kill.
        orphans_s: Seconds until the last process was gone.
        recovery_s: Duration of the next call.
        same: Whether all paths and bytes are those of the undisturbed cohort.
        strays: Files left beside the cohort and its private file.
    """

    sign: str
    after_s: float
    group: bool
    cases_whole: int
    unfinished: int
    orphans_s: float
    recovery_s: float
    same: bool
    strays: tuple[str, ...]


def main() -> None:
    """Run the kills and write ``ingest_kills.json`` and ``ingest_kills.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-kills-") as folder:
        table = write_phantom_cohort(Path(folder, "scans"), cases=arguments.cases, matrix=96, format="nifti")
        whole, spans_s = undisturbed(table, Path(folder, "whole"))
        rng = np.random.default_rng(arguments.seed)
        kills = []
        for index in range(arguments.n):
            place, sign = Path(folder, f"kill{index}"), SIGNS[index // 2 % len(SIGNS)]
            after_s = rng.uniform(0, spans_s[sign])
            kills.append(one_kill(table, whole, place, sign=sign, after_s=after_s, group=index % 2 == 0))
            print(kills[-1], flush=True)
            shutil.rmtree(place)
    write(arguments.out, kills, arguments.cases, arguments.seed, spans_s[SIGNS[0]])


def undisturbed(table: Path, place: Path) -> tuple[Path, dict[str, float]]:
    """Ingest without a kill.

    Returns:
        The cohort, and the seconds from each sign to the end.
    """
    place.mkdir()
    out = place / "c.zarr"
    process = start(table, out)
    seen = {}
    for sign in SIGNS:
        _until(out, sign, process)
        seen[sign] = time.monotonic()
    _finish(process)
    return out, {sign: time.monotonic() - moment for sign, moment in seen.items()}


def one_kill(
    table: Path,
    whole: Path,
    place: Path,
    *,
    sign: str,
    after_s: float,
    group: bool,
    again: Sequence[str] = SETTINGS,
) -> Kill:
    """Kill one ingest, call it again, and compare.

    Args:
        table: The scans.
        whole: The undisturbed cohort; its key is used, for the pseudonyms to be the same.
        place: A new folder.
        sign: One of ``SIGNS``.
        after_s: Seconds from the first sight of it.
        group: Kill all processes, or the main one alone.
        again: Settings of the second call.
    """
    place.mkdir()
    out = place / "c.zarr"
    shutil.copy(whole.with_suffix(".private.json"), out.with_suffix(".private.json"))
    process = start(table, out)
    _until(out, sign, process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    orphans_s = kill(process, group=group)
    whole_cases = len(list(out.glob("cases/*/zarr.json")))
    unfinished = len(list(out.glob(".incoming/*")))
    began = time.monotonic()
    _finish(start(table, out, again))
    return Kill(
        sign=sign,
        after_s=round(after_s, 3),
        group=group,
        cases_whole=whole_cases,
        unfinished=unfinished,
        orphans_s=round(orphans_s, 3),
        recovery_s=round(time.monotonic() - began, 3),
        same=tree_hash(out) == tree_hash(whole),
        strays=tuple(sorted(path.name for path in place.iterdir() if path.name not in ("c.zarr", "c.private.json"))),
    )


def start(table: Path, out: Path, settings: Sequence[str] = SETTINGS) -> subprocess.Popen[bytes]:
    """Start an ingest as the leader of a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "dcam_dist", "ingest", str(table), *settings, "--out", str(out)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes], *, group: bool) -> float:
    """SIGKILL an ingest; seconds until all its processes were gone.

    Raises:
        RuntimeError: When some of them live on; they are ended.
    """
    family = [psutil.Process(process.pid)] if process.poll() is None else []
    family += [child for member in family for child in member.children(recursive=True)]
    began = time.monotonic()
    with suppress(ProcessLookupError):
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=ORPHANS_S)
    for orphan in alive:
        orphan.kill()
    if alive:
        raise RuntimeError(f"{len(alive)} processes outlived their ingest by {ORPHANS_S} s")
    return time.monotonic() - began


def tree_hash(root: Path) -> str:
    """SHA-256 over the paths of all files and folders and the bytes of all files."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        digest.update(f"{path.relative_to(root)}\0{content}\n".encode())
    return digest.hexdigest()


def write(out: Path, kills: Sequence[Kill], cases: int, seed: int, span_s: float) -> None:
    """Write the results as JSON and as a Markdown page."""
    out.mkdir(parents=True, exist_ok=True)
    same, n = sum(one.same for one in kills), len(kills)
    about: dict[str, object] = {"n": n, "same": same, "cases": cases, "seed": seed, "undisturbed_s": round(span_s, 2)}
    about |= {"cores": os.cpu_count(), "python": platform.python_version(), "settings": SETTINGS}
    tree = {**about, "kills": [asdict(one) for one in kills]}
    (out / "ingest_kills.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    recovery, gone = (sorted(getattr(one, name) for one in kills) for name in ("recovery_s", "orphans_s"))
    midst = sum(0 < one.cases_whole < cases for one in kills)
    unfinished = sum(one.unfinished > 0 for one in kills)
    bound = f" (95 % upper bound of the failure rate: {3 / n:.2f})" if same == n else ""
    lines = [
        "# Kills of ingest",
        "",
        f"{same} of {n} killed ingests ended in the same tree hash as the undisturbed one{bound}.",
        f"{midst} kills struck between the first case and the last, {unfinished} found something half written;",
        f"{sum(one.group for one in kills)} took all processes, the others the main one alone.",
        "",
        "| | median | p95 |",
        "|---|---|---|",
        f"| seconds of the next call | {statistics.median(recovery):.1f} | {_p95(recovery):.1f} |",
        f"| seconds until the last process was gone | {statistics.median(gone):.2f} | {_p95(gone):.2f} |",
        "",
        f"{cases} phantom scans, two workers, seed {seed}, {os.cpu_count()} cores; an undisturbed ingest writes for",
        f"{span_s:.1f} s. Files left beside a cohort: {sum(len(one.strays) for one in kills)}.",
    ]
    (out / "ingest_kills.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _p95(ordered: Sequence[float]) -> float:
    return float(np.percentile(ordered, 95))


def _until(out: Path, sign: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not any(out.glob(sign)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"ingest ended too early: {process.communicate()[1].decode()[-500:]}")
        time.sleep(0.002)


def _finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=DEADLINE_S)
    if process.returncode:
        raise RuntimeError(f"ingest failed: {said.decode()[-500:]}")


if __name__ == "__main__":
    main()
