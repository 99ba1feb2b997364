"""The rehearsal of docs/slurm.md, word by word, on a real Slurm: pytest -m slurm; needs root, see up.sh."""

import re

import pytest
from cluster import slurm_says, wait_until
from support.pages import blocks_of, run_block

pytestmark = pytest.mark.slurm


def test_the_rehearsal_works_as_it_is_written(slurm, tmp_path):
    site, look, submit, results = blocks_of("slurm.md")
    run_block(site, tmp_path)
    shown = run_block(look, tmp_path)
    assert "#SBATCH --array=1-4" in shown and "==== report" in shown
    assert len(re.findall(r"^\w+: job \d+", run_block(submit, tmp_path), re.MULTILINE)) == 6
    wait_until(lambda: not slurm_says("squeue", "--noheader"), 600)
    assert "dcam" in run_block(results, tmp_path)
    assert (tmp_path / "run" / "maps").is_dir() and (tmp_path / "run" / "report.html").is_file()
