"""``dcam-dist doctor`` under a real Slurm, in a job and outside of one: pytest -m slurm; needs root, see up.sh."""

import json
import subprocess
import sys

import pytest
from support.processes import REPOSITORY

pytestmark = pytest.mark.slurm
DOCTOR = [sys.executable, "-m", "dcam_dist", "doctor", "--json"]


def lines(*before):
    command = [*before, *DOCTOR]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line["name"]: line for line in json.loads(done.stdout)}


def test_outside_of_a_job_slurm_says_its_version(slurm):
    found = lines()
    assert found["scheduler"]["state"] == "ok"
    version = subprocess.run(["sbatch", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert found["scheduler"]["found"].startswith(f"Slurm {version}, not in a job")
    assert found["Slurm commands"]["state"] == "ok"


def test_a_task_knows_its_job_and_how_long_that_may_go_on(slurm):
    found = lines("srun", "--mem=2G", "--overcommit", "-N1", "-n1", "--time=90", "--export=ALL,MASTER_ADDR=127.0.0.1")
    said = found["scheduler"]["found"]
    assert "in job " in said
    assert "1 h 29 min left" in said or "1 h 30 min left" in said
    assert found["launcher's variables"]["state"] == "ok"


def test_a_job_that_is_nearly_over_warns(slurm):
    found = lines("srun", "--mem=2G", "--overcommit", "-N1", "-n1", "--time=3")
    assert found["scheduler"]["state"] == "warn"
    assert " ends in " in found["scheduler"]["found"]
