"""Where tasks that srun itself starts meet: pytest -m slurm; needs root, see up.sh."""

import shlex
import subprocess
import sys

import pytest
from support.processes import REPOSITORY

pytestmark = pytest.mark.slurm


def srun(*words):
    return subprocess.run(
        ["srun", "--mem=1G", "--overcommit", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_tasks_of_one_node_meet_also_with_a_shell_between_them_and_slurm(slurm, tmp_path):
    job = shlex.join([sys.executable, "tests/support/step_jobs.py", "quick", str(tmp_path)])
    done = srun("-N1", "-n2", "bash", "-c", f"{job}; exit $?")
    assert done.returncode == 0, done.stderr
    assert all(f"rank={rank}, local_rank={rank}, world_size=2" in done.stdout for rank in (0, 1))


def test_a_first_node_without_an_address_is_told_at_once(slurm, tmp_path):
    done = srun("-N2", "-n2", sys.executable, "tests/support/step_jobs.py", "quick", str(tmp_path))
    assert done.returncode == 4
    assert "no address is known of n1 on" in done.stderr and "MASTER_ADDR must be one that" in done.stderr


def test_launchers_of_one_step_know_from_slurm_which_of_them_holds_the_meeting(slurm, tmp_path):
    options = ["--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:29476"]
    job = ["tests/support/step_jobs.py", "quick", str(tmp_path)]
    done = srun("-N2", "-n2", sys.executable, "-m", "dcam_dist.launch", *options, *job)
    assert done.returncode == 0, done.stderr
    assert all(f"rank={rank}, local_rank=0, world_size=2" in done.stdout for rank in (0, 1))
