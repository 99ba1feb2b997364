"""The same training under torchrun, under deepspeed's launcher and without any, with the engine of either kind."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.cohorts import settings
from support.processes import REPOSITORY, dcam_dist, run, torchrun

from dcam_dist.runs import latest_checkpoint

pytest.importorskip("deepspeed")
pytestmark = [pytest.mark.distributed, pytest.mark.slow]
ZERO_2 = ("training.engine=deepspeed", f"training.deepspeed_config={REPOSITORY / 'configs' / 'deepspeed_zero2.json'}")


def deepspeed(processes, arguments, **variables):
    launcher = [str(Path(sys.executable).with_name("deepspeed")), f"--num_gpus={processes}", "--no_local_rank"]
    return run([*launcher, "--module", *arguments], timeout=300, DS_ACCELERATOR="cpu", **variables)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, small_cohort):
    """By launcher, a run of two epochs."""
    root = tmp_path_factory.mktemp("launchers")

    def arguments(name, *more):
        return ["train", *settings(small_cohort, output=root / name), *more]

    started = {
        "torchrun": torchrun(2, ["-m", "dcam_dist", *arguments("torchrun")]),
        "deepspeed": deepspeed(2, ["dcam_dist", *arguments("deepspeed", *ZERO_2)]),
        "none": dcam_dist(*arguments("none", *ZERO_2)),
    }
    for ended in started.values():
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 rank(s)" in started["deepspeed"].stdout + started["deepspeed"].stderr
    return {name: root / name for name in started}


def losses(path):
    return [json.loads(line)["loss"] for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("launcher", "tolerance"), [("deepspeed", 1e-5), ("none", 1e-4)])
def test_losses_and_clusters_are_the_same(runs, launcher, tolerance):
    assert len(losses(runs[launcher])) == 2
    assert losses(runs[launcher]) == pytest.approx(losses(runs["torchrun"]), rel=0, abs=tolerance)
    one, other = (latest_checkpoint(runs[name]).assignment for name in ("torchrun", launcher))
    np.testing.assert_array_equal(one.label_N, other.label_N)


@pytest.mark.parametrize("launcher", ["deepspeed", "none"])
def test_a_checkpoint_of_deepspeed_holds_what_one_of_ddp_does(runs, launcher):
    one, other = (latest_checkpoint(runs[name]).engine for name in ("torchrun", launcher))
    assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in other.items()}


def test_a_json_that_says_too_much_stops_the_run_with_one_line(small_cohort, tmp_path):
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 2}, "bf16": {"enabled": true}}')
    own = ["training.engine=deepspeed", f"training.deepspeed_config={tmp_path / 'ds.json'}"]
    ended = dcam_dist("train", *settings(small_cohort, output=tmp_path / "run"), *own)
    assert ended.returncode == 2
    assert ended.stderr.count("ds.json: bf16: set network.precision instead") == 1
    assert "Traceback" not in ended.stderr
