"""The scripts for one node, as they are: a training by either launcher, its evaluation and maps."""

import os
import subprocess

import pytest
from support.cohorts import make_cohort, settings
from support.processes import REPOSITORY

from dcam_dist.runs import latest_checkpoint

pytestmark = pytest.mark.distributed


def script(name, *arguments, **variables):
    """A script of ``launch_scripts`` in the environment of this checkout, with two ranks on the CPU."""
    env = {**os.environ, "DCAM_RANKS": "2", "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", **variables}
    command = ["bash", f"launch_scripts/{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(not (REPOSITORY / ".venv" / "installed").exists(), reason="set up by launch_scripts/setup.sh")
@pytest.mark.parametrize("launcher", ["train.sh", "train_deepspeed.sh"])
def test_a_training_its_evaluation_and_its_maps(tmp_path, launcher):
    run = tmp_path / "run"
    cohort = make_cohort(tmp_path / "cohort.zarr", 13)
    done = script(launcher, *settings(cohort, output=run))
    assert done.returncode == 0, done.stderr
    assert "2 rank(s)" in done.stderr and latest_checkpoint(run).finished
    done = script("evaluate.sh", run)
    assert done.returncode == 0, done.stderr
    assert (run / "evaluation.json").exists() and list((run / "maps").glob("*/dcam-winner.nii.gz"))


@pytest.mark.skipif(not (REPOSITORY / ".venv" / "installed").exists(), reason="set up by launch_scripts/setup.sh")
def test_without_a_gpu_and_without_a_word_there_is_one_rank(tmp_path):
    cohort = make_cohort(tmp_path / "cohort.zarr", 13)
    done = script("train.sh", *settings(cohort, output=tmp_path / "run", training__epochs=1), DCAM_RANKS="")
    assert done.returncode == 0 and "1 rank(s)" in done.stderr, done.stderr


def test_scripts_that_miss_an_argument_say_how_they_are_called():
    for name in ("evaluate.sh", "benchmarks.sh", "ingest_dask.sh"):
        done = script(name)
        assert done.returncode != 0 and "usage: " in done.stderr
