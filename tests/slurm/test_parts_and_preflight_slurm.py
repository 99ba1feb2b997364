"""A job array that ingests in parts, a preflight of one task a node, in a real Slurm: pytest -m slurm; see up.sh."""

import shlex
import shutil
import socket
import subprocess
import sys

import pytest
from support.processes import REPOSITORY, dcam_dist

from benchmarks.ingest_kills import tree_hash
from dcam_dist.phantom import write_phantom_cohort

pytestmark = pytest.mark.slurm

SETTINGS = ("grid.shape=[16,16,16]", "ingest.workers=1")


def test_a_job_array_writes_one_cohort(slurm, tmp_path):
    table, out = write_phantom_cohort(tmp_path / "scans", cases=6, matrix=96, format="nifti"), tmp_path / "a.zarr"
    words = [sys.executable, "-m", "dcam_dist", "ingest", str(table), *SETTINGS, "--out", str(out)]
    script = f"{shlex.join(words)} --part $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
    batch = ["sbatch", "--wait", "--array=1-3", "--mem=1G", f"--output={tmp_path}/%a.log", f"--wrap={script}"]
    done = subprocess.run(batch, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    logs = [(tmp_path / f"{index}.log").read_text() for index in (1, 2, 3)]
    assert done.returncode == 0 and all("2 of 6 cases, accepted: 2" in log for log in logs), (done.stderr, logs)
    assert dcam_dist("ingest", table, *SETTINGS, "--out", out).returncode == 0
    shutil.copy(tmp_path / "a.private.json", tmp_path / "b.private.json")
    assert dcam_dist("ingest", table, *SETTINGS, "--out", tmp_path / "b.zarr").returncode == 0
    assert tree_hash(out) == tree_hash(tmp_path / "b.zarr")


def _preflight(*arguments):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "dcam_dist", "preflight", "--nodes=2", "--meet", f"127.0.0.1:{port}", *arguments]
    return subprocess.run(
        ["srun", "-N2", "--ntasks-per-node=1", "--mem=1G", "--overcommit", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_preflight_as_one_task_a_node(slurm, tmp_path):
    done = _preflight("--gpus=0", f"--output={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("preflight: 2 nodes without GPUs, output ") and done.stdout.count("\n") == 1
    failed = _preflight("--gpus=1000")
    told = [line for line in failed.stderr.splitlines() if line.startswith("dcam-dist: ")]
    assert failed.returncode == 4 and failed.stdout == "" and len(told) == 2
    assert all(f"node {node} (" in line and "of 1000 GPUs" in line for node, line in enumerate(told))
    assert failed.stderr.count("Exited with exit code 4") == 2
