"""Ingest by the jobs of a real Slurm, two nodes on this machine: pytest -m slurm; needs root, see up.sh."""

import os
import shutil
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from support.processes import dcam_dist, start_python

from benchmarks.ingest_kills import tree_hash
from dcam_dist.config.schema import IngestConfig
from dcam_dist.config.site import Site
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.ingest.crews import slurm_jobs
from dcam_dist.ingest.crews.slurm import slurm_crew
from dcam_dist.ingest.fanout import run_cases
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.types import QuarantineEntry

pytestmark = pytest.mark.slurm

SETTINGS = ("grid.shape=[32,32,32]", "ingest.workers=1")


def _site(folder, **changes):
    workers = {"jobs": 2, "memory_gb": 2, "time": "00:10:00", "interface": "lo", "logs": folder / "logs"}
    python = changes.pop("python", None)
    return Site.model_validate({"python": python, "workers": {**workers, **changes}})


def _queue():
    return subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout.split()


def _wait(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_jobs_make_what_one_process_makes_and_leave_no_key(slurm, tmp_path):
    table = write_phantom_cohort(tmp_path / "scans", cases=6, matrix=96, format="nifti")
    assert dcam_dist("ingest", table, *SETTINGS, "--out", tmp_path / "a.zarr").returncode == 0
    shutil.copy(tmp_path / "a.private.json", tmp_path / "b.private.json")
    site = tmp_path / "site.yaml"
    site.write_text(f"workers: {{jobs: 2, memory_gb: 2, partition: cpu, interface: lo, logs: {tmp_path}/logs}}\n")
    result = dcam_dist("ingest", table, *SETTINGS, "--out", tmp_path / "b.zarr", "--slurm", site)
    assert result.returncode == 0, result.stderr
    assert tree_hash(tmp_path / "b.zarr") == tree_hash(tmp_path / "a.zarr")
    assert not list((tmp_path / "logs").glob("keys.*")) and (tmp_path / "logs").stat().st_mode & 0o077 == 0
    logs = [path.read_text() for path in (tmp_path / "logs").iterdir()]
    assert any("Start worker at" in text for text in logs)
    assert not any("phantom-0" in text or "BEGIN" in text for text in logs)
    _wait(lambda: not _queue())


def _mark(folder, job):
    """Leave the host's and the job's number; the first to take ``slow`` works for long."""
    Path(folder, f"{job}.{os.environ['SLURM_JOB_ID']}").touch()
    if job == "slow" and len(list(Path(folder).glob("slow.*"))) == 1:
        time.sleep(120)
    return QuarantineEntry(job, "done", socket.gethostname())


def test_a_job_that_is_cancelled_is_replaced_and_its_case_done_elsewhere(slurm, tmp_path, monkeypatch):
    (cohort := tmp_path / "c.zarr").mkdir()
    (marks := tmp_path / "marks").mkdir()
    jobs = ["slow", "a", "b", "c", "d"]
    crew_of = partial(slurm_crew, _site(tmp_path, jobs=1), cohort, [marks])
    outcomes = run_cases(partial(_mark, str(marks)), jobs, str, IngestConfig(), crew_of)
    canceller = subprocess.Popen(
        [
            "bash",
            "-c",
            f'until ls "{marks}"/slow.* 2>/dev/null; do sleep 0.1; done; scancel --signal=KILL --full $(squeue -ho %A)',
        ]
    )
    done = {entry.case_id: entry.reason for entry in outcomes}
    canceller.wait()
    assert done == dict.fromkeys(jobs, "done")
    assert len(list(marks.glob("slow.*"))) == 2
    _wait(lambda: not _queue())


def test_a_killed_ingest_leaves_no_job_and_its_key_goes_with_the_next_call(slurm, tmp_path):
    table = write_phantom_cohort(tmp_path / "scans", cases=6, matrix=96, format="nifti")
    site = tmp_path / "site.yaml"
    site.write_text(f"workers: {{jobs: 2, memory_gb: 2, interface: lo, logs: {tmp_path}/logs}}\n")
    arguments = ["ingest", str(table), *SETTINGS, "--out", str(tmp_path / "c.zarr"), "--slurm", str(site)]
    process = start_python(["-m", "dcam_dist", *arguments])
    _wait(lambda: list(tmp_path.glob("c.zarr/cases/*/zarr.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "logs").glob("keys.*"))) == 1
    _wait(lambda: not _queue())
    assert dcam_dist(*arguments).returncode == 0
    assert not list((tmp_path / "logs").glob("keys.*"))


@pytest.mark.parametrize(
    ("changes", "line"),
    [({"partition": "none"}, "Slurm refuses the job.*partition"), ({"interface": "nosuch0"}, "interface nosuch0")],
)
def test_what_slurm_or_the_machine_refuses_is_one_line(slurm, tmp_path, changes, line):
    (tmp_path / "c.zarr").mkdir()
    with (
        pytest.raises(EnvironmentFault, match=line) as caught,
        slurm_crew(_site(tmp_path, **changes), tmp_path / "c.zarr", [], 3),
    ):
        pass
    assert "\n" not in str(caught.value) and not (tmp_path / "logs").exists()


def test_jobs_that_bring_no_worker_end_the_ingest(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "QUEUE_LOOK_S", 1.0)
    monkeypatch.setattr(slurm_jobs, "PATIENCE_S", 2.0)
    (tmp_path / "c.zarr").mkdir()
    crew_of = partial(slurm_crew, _site(tmp_path, python="/no/such/python"), tmp_path / "c.zarr", [])
    with pytest.raises(EnvironmentFault, match=r"jobs ended and left no worker; see the logs in .*logs"):
        list(run_cases(partial(_mark, str(tmp_path)), ["a", "b", "c"], str, IngestConfig(), crew_of))


def test_a_log_folder_that_others_may_read_is_refused(slurm, tmp_path):
    (tmp_path / "logs").mkdir(mode=0o755)
    with pytest.raises(UsageError, match="chmod 700"), slurm_crew(_site(tmp_path), tmp_path, [], 3):
        pass
