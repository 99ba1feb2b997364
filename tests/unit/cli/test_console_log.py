"""Who is heard on the console."""

import os
import subprocess
import sys

import pytest

CODE = """
import logging
from dcam_dist.commands.console_log import log_to_console
log_to_console()
log = logging.getLogger("dcam_dist.training")
log.debug("debug"); log.info("info"); log.warning("warning")
logging.getLogger("zarr").info("of others"); logging.getLogger("zarr").warning("warning of others")
"""
SRUN = {
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "2",
    "SLURM_NODEID": "0",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "3",
    "SLURM_STEP_NODELIST": "n1",
}
FROM_RANK_2 = ["rank 2: warning", "rank 2: warning of others"]


@pytest.mark.parametrize(
    ("environment", "heard"),
    [
        ({}, ["info", "warning", "warning of others"]),
        (
            {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "SLURM_PROCID": "3"},
            ["info", "warning", "warning of others"],
        ),
        ({"RANK": "2", "LOCAL_RANK": "2", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}, FROM_RANK_2),
        (SRUN, FROM_RANK_2),
        ({"SLURM_PROCID": "2"}, ["info", "warning", "warning of others"]),  # no step of several tasks
    ],
)
def test_rank_0_speaks_and_others_only_warn(environment, heard):
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "SLURM_PROCID")}
    ended = subprocess.run(
        [sys.executable, "-c", CODE], env=clean | environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert (ended.stdout, ended.stderr.splitlines()) == ("", heard)
