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
FROM_RANK_2 = ["rank 2: warning", "rank 2: warning of others"]


@pytest.mark.parametrize(
    ("environment", "heard"),
    [
        ({}, ["info", "warning", "warning of others"]),
        ({"RANK": "0", "SLURM_PROCID": "3"}, ["info", "warning", "warning of others"]),
        ({"RANK": "2"}, FROM_RANK_2),
        ({"SLURM_PROCID": "2"}, FROM_RANK_2),
    ],
)
def test_rank_0_speaks_and_others_only_warn(environment, heard):
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "SLURM_PROCID")}
    ended = subprocess.run(
        [sys.executable, "-c", CODE], env=clean | environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert (ended.stdout, ended.stderr.splitlines()) == ("", heard)
