"""The pages of schedulers that are not here: their shell blocks run as they are written, as far as the script."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from support.linters import shellcheck
from support.processes import REPOSITORY

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("scheduler", "mark"), [("pbs", "#PBS -l select=2:"), ("lsf", "#BSUB -n 64")])
def test_the_script_of_a_training_is_made_as_the_page_says(tmp_path, scheduler, mark):
    (block,) = BLOCK.findall((REPOSITORY / "docs" / f"{scheduler}.md").read_text(encoding="utf-8"))
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    program = tmp_path / "bin" / "dcam-dist"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dcam_dist "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{block}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    script = (tmp_path / f"train.{scheduler}").read_text()
    assert mark in script and "This has not been run on a real" in script
    assert (tmp_path / "runs" / "dcam" / "jobs").is_dir()
    assert shellcheck(tmp_path / f"train.{scheduler}", cwd=tmp_path) == ""
