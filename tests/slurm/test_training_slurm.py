"""Trainings as jobs of a real Slurm, two nodes on this machine: pytest -m slurm; needs root, see up.sh."""

import shlex
import subprocess
import sys
import time

import numpy as np
import pytest
from support.cohorts import make_cohort, settings
from support.processes import REPOSITORY

from dcam_dist.runs import latest_checkpoint

pytestmark = pytest.mark.slurm

TWO = ("-N1", "-n2", "--overcommit")
"""A node of this machine may have fewer cores than tasks."""
LONG = {"training.epochs": 500, "training.checkpoint_minutes": 1}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort") / "cohort.zarr", 13)


def _train(cohort, run, **overrides):
    return [sys.executable, "-m", "dcam_dist", "train", *settings(cohort, output=run, **overrides)]


def _submit(folder, lines, *options):
    """Submit a script; its job's number."""
    script = folder / "job.sh"
    script.write_text("\n".join(["#!/bin/bash", "export OMP_NUM_THREADS=1", *lines]) + "\n")
    command = [
        "sbatch",
        "--parsable",
        "--open-mode=append",
        f"--output={folder}/log",
        f"--chdir={REPOSITORY}",
        *options,
    ]
    return subprocess.run([*command, str(script)], capture_output=True, text=True, check=True).stdout.strip()


def _exit_code(job, seconds=240):
    """Wait for a job's end."""
    deadline = time.monotonic() + seconds
    while True:
        told = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True, check=True).stdout
        fields = dict(part.split("=", 1) for part in told.split() if "=" in part)
        if fields["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"):
            return int(fields["ExitCode"].split(":")[0])
        assert time.monotonic() < deadline, told
        time.sleep(0.3)


def _assert_same(one, other):
    for name in one.engine:
        np.testing.assert_array_equal(one.engine[name].numpy(), other.engine[name].numpy(), err_msg=name)


def test_bare_srun_is_enough_on_one_node_and_on_two(slurm, tmp_path, cohort):
    for name, shape in (("one", TWO), ("two", ("-N2", "-n2"))):
        # the two nodes of this Slurm are no hosts of the network
        command = ["srun", *shape, "--export=ALL,MASTER_ADDR=127.0.0.1,OMP_NUM_THREADS=1,GLOO_SOCKET_IFNAME=lo"]
        told = subprocess.run(
            [*command, *_train(cohort, tmp_path / name)],
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
            cwd=REPOSITORY,
        )
        assert told.returncode == 0, told.stderr
        assert "2 rank(s)" in told.stderr
    one, two = (latest_checkpoint(tmp_path / name) for name in ("one", "two"))
    assert one.finished and two.finished
    _assert_same(one, two)


def test_python_in_a_batch_script_of_several_tasks_is_one_process(slurm, tmp_path, cohort):
    job = _submit(tmp_path, [shlex.join(_train(cohort, tmp_path / "r", training__epochs=1))], *TWO)
    assert _exit_code(job) == 0, (tmp_path / "log").read_text()
    assert "1 rank(s)" in (tmp_path / "log").read_text()


def test_a_job_leaves_before_its_time_limit_and_goes_on(slurm, tmp_path, cohort):
    # the limit of one minute is Slurm's smallest
    line = "srun --overcommit -n2 " + shlex.join(_train(cohort, tmp_path / "r", **LONG))
    job = _submit(tmp_path, [line], *TWO, "--time=1")
    assert _exit_code(job) == 75, (tmp_path / "log").read_text()
    assert "asked to leave by the time limit" in (tmp_path / "log").read_text()
    assert "DUE TO TIME LIMIT" not in (tmp_path / "log").read_text()
    first = latest_checkpoint(tmp_path / "r").position
    job = _submit(tmp_path, [line], *TWO, "--time=1")
    assert _exit_code(job) == 75
    assert latest_checkpoint(tmp_path / "r").position > first


@pytest.mark.parametrize("how", ["USR1", "TERM"])
def test_a_signal_to_the_step_saves_and_the_next_job_ends_bit_for_bit(slurm, tmp_path, cohort, how):
    run, whole = tmp_path / "r", tmp_path / "whole"
    overrides = {"training.epochs": 12}
    line = "srun --overcommit -n2 " + shlex.join(_train(cohort, run, **overrides))
    job = _submit(tmp_path, [line], *TWO)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists() or len((run / "metrics.jsonl").read_text().splitlines()) < 2:
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.05)
    subprocess.run(["scancel", f"--signal={how}", job], check=True)
    assert _exit_code(job) == 75, (tmp_path / "log").read_text()
    assert not latest_checkpoint(run).finished
    assert _exit_code(_submit(tmp_path, [line], *TWO)) == 0, (tmp_path / "log").read_text()
    straight = "srun --overcommit -n2 " + shlex.join(_train(cohort, whole, **overrides))
    assert _exit_code(_submit(tmp_path, [straight], *TWO)) == 0
    _assert_same(latest_checkpoint(run), latest_checkpoint(whole))
