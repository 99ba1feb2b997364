"""The pages of schedulers that are not here: their shell blocks run as they are written, as far as the script."""

import pytest
from support.linters import RENDERED, shellcheck
from support.pages import blocks_of, run_block


@pytest.mark.parametrize(("scheduler", "mark"), [("pbs", "#PBS -l select=2:"), ("lsf", "#BSUB -n 64")])
def test_the_script_of_a_training_is_made_as_the_page_says(tmp_path, scheduler, mark):
    (block,) = blocks_of(f"{scheduler}.md")
    run_block(block, tmp_path)
    script = (tmp_path / f"train.{scheduler}").read_text()
    assert mark in script and "This has not been run on a real" in script
    assert (tmp_path / "runs" / "dcam" / "jobs").is_dir()
    assert shellcheck(RENDERED, tmp_path / f"train.{scheduler}", cwd=tmp_path) == ""
