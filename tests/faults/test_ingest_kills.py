"""Ingest killed at random points, workers killed under it, and workers without memory: same bytes, or a named case."""

import os
import secrets
import signal
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.processes import start_python

from benchmarks import ingest_kills
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import Reason
from dcam_dist.ingest.fanout import run_cases
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.types import QuarantineEntry

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

SEED = "DCAM_KILLS_SEED"
KILLS = 3
CASES = 8
ALONE = ("grid.shape=[32,32,32]", "ingest.workers=1")
"""For the second call: the bytes do not depend on the workers, and one process starts soonest."""


def test_an_ingest_killed_anywhere_goes_on_to_the_same_bytes(tmp_path):
    table = write_phantom_cohort(tmp_path / "scans", cases=CASES, matrix=96, format="nifti")
    whole, spans_s = ingest_kills.undisturbed(table, tmp_path / "whole")
    signs = [ingest_kills.SIGNS[index % 2] for index in range(KILLS)]
    seed = int(os.environ.get(SEED) or secrets.randbits(32))
    print(f"the same moments again: {SEED}={seed}")  # which pytest shows when this fails
    moments = np.random.default_rng(seed).uniform(0, [spans_s[sign] for sign in signs]).tolist()
    kills = [
        ingest_kills.one_kill(
            table, whole, tmp_path / f"kill{index}", sign=sign, after_s=after_s, group=index % 2 == 0, again=ALONE
        )
        for index, (sign, after_s) in enumerate(zip(signs, moments, strict=True))
    ]
    assert [(one.same, one.strays) for one in kills] == [(True, ())] * KILLS, kills
    assert max(one.orphans_s for one in kills) < ingest_kills.ORPHANS_S


def _slow(marks, job):
    """Leave one's process id, and work for a while where the job is the first to be taken."""
    Path(marks, f"{job}.{os.getpid()}").touch()
    if job == "victim" and len(list(Path(marks).glob("victim.*"))) == 1:
        time.sleep(60)
    return QuarantineEntry(job, "done", str(os.getpid()))


def test_a_worker_killed_from_outside_costs_no_case(tmp_path):
    def kill_the_victims_worker():
        while not (seen := list(tmp_path.glob("victim.*"))):
            time.sleep(0.05)
        os.kill(int(seen[0].suffix[1:]), signal.SIGKILL)

    killer = threading.Thread(target=kill_the_victims_worker)
    killer.start()
    jobs = ["victim", *(f"c{index}" for index in range(8))]
    outcomes = list(run_cases(partial(_slow, str(tmp_path)), jobs, str, IngestConfig(workers=2)))
    killer.join()
    assert sorted(entry.case_id for entry in outcomes) == sorted(jobs)
    assert {entry.reason for entry in outcomes} == {"done"}
    assert len(list(tmp_path.glob("victim.*"))) == 2


def _hog(job):
    """Take far more memory than the worker may have, in steps that its watch can see."""
    if job == "hog":
        held = []
        for _ in range(100):
            held.append(np.ones(2**23 // 8))
            time.sleep(0.02)
        return QuarantineEntry(job, "survived", str(len(held)))
    return QuarantineEntry(job, "done", "")


def test_a_case_that_needs_too_much_memory_is_named_with_the_remedy():
    jobs = ["a", "hog", "b", "c"]
    outcomes = {
        entry.case_id: entry for entry in run_cases(_hog, jobs, str, IngestConfig(workers=2, memory_limit_gb=0.5))
    }
    assert outcomes.keys() == set(jobs)
    assert outcomes["hog"].reason == Reason.WORKER_DIED
    assert "ingest.memory_limit_gb" in outcomes["hog"].detail
    assert {outcomes[job].reason for job in jobs if job != "hog"} == {"done"}


def test_no_worker_outlives_its_ingest_even_one_that_is_deaf(tmp_path):
    with start_python(["-m", "support.busy_ingest", str(tmp_path)]) as ingest:
        try:
            workers = _pids_in(tmp_path, 2)
        finally:
            ingest.kill()
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], timeout=10)
    for process in alive:
        process.kill()
    assert not alive


def _pids_in(folder, count):
    deadline = time.monotonic() + 60
    while len(found := [int(path.name) for path in folder.iterdir()]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found
