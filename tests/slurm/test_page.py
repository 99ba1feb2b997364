"""The rehearsal of docs/slurm.md, word by word, on a real Slurm: pytest -m slurm; needs root, see up.sh."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from cluster import slurm_says, wait_until
from support.processes import REPOSITORY

pytestmark = pytest.mark.slurm

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_rehearsal_works_as_it_is_written(slurm, tmp_path):
    blocks = BLOCK.findall((REPOSITORY / "docs" / "slurm.md").read_text(encoding="utf-8"))
    assert len(blocks) == 4
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    shutil.copytree(REPOSITORY / "launch_scripts", tmp_path / "launch_scripts")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "dcam-dist"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dcam_dist "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    told = []
    for block in blocks:
        if "evaluation.md" in block:
            wait_until(lambda: not slurm_says("squeue", "--noheader"), 600)
        script = f"set -euo pipefail\n{block}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    shown, submitted, results = told[1:]
    assert "#SBATCH --array=1-4" in shown and "==== maps" in shown
    assert len(re.findall(r"^\w+: job \d+", submitted, re.MULTILINE)) == 5
    assert "dcam" in results and (tmp_path / "run" / "maps").is_dir()
