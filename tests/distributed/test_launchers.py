"""The same training under torchrun, under deepspeed's launcher and without any, with the engine of either kind."""

import json
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from support.cohorts import settings
from support.playing import insist_close
from support.processes import REPOSITORY, dcam_dist, run, torchrun
from support.trainings import start_training

from benchmarks.kill_chain import differences, until
from benchmarks.launched import Launched, train_command
from dcam_dist.runs import latest_checkpoint
from dcam_dist.types import Phase

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
ZERO_2 = ("training.engine=deepspeed", f"training.deepspeed_config={REPOSITORY / 'configs' / 'deepspeed_zero2.json'}")


SLOW = "slow@step+"


def deepspeed(processes, arguments):
    """The command."""
    launcher = [str(Path(sys.executable).with_name("deepspeed")), f"--num_gpus={processes}", "--no_local_rank"]
    return [*launcher, "--module", *arguments]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, small_cohort):
    """By launcher, a run of two epochs."""
    root = tmp_path_factory.mktemp("launchers")

    def arguments(name, *more):
        return ["train", *settings(small_cohort, output=root / name), *more]

    started = {
        "torchrun": torchrun(2, ["-m", "dcam_dist", *arguments("torchrun")]),
        "deepspeed": run(
            deepspeed(2, ["dcam_dist", *arguments("deepspeed", *ZERO_2)]), timeout=300, DS_ACCELERATOR="cpu"
        ),
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


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, small_cohort):
    """The training under ZeRO 2 once more, which is asked to leave twice; where it stood, and how each start ended."""
    root = tmp_path_factory.mktemp("stopped")
    path, codes = root / "zero", {}
    given = [*settings(small_cohort, output=path, **{"training.checkpoint_minutes": 0}), *ZERO_2]

    def start(name, command, ask=lambda _: None):
        training = Launched(command, root / f"{name}.log", DS_ACCELERATOR="cpu")
        try:
            ask(training)
            codes[name] = training.wait()
        finally:
            training.kill()
        return training.said

    def within_the_first_epoch(training):
        steps = path / "checkpoints"
        assert until(training, lambda: any(steps.glob("epoch-0000-*-train-000001"))), training.said
        training.signal_launcher(signal.SIGTERM)

    def by_file(training):
        assert until(training, lambda: "going on at" in training.said), training.said
        (path / "stop").touch()

    start("by signal", train_command(given, ranks=2, launcher="launch", faults=[SLOW]), within_the_first_epoch)
    position = latest_checkpoint(path).position
    shutil.copytree(path, root / "ddp")
    said = start("by file", deepspeed(2, ["support.faulty_train", SLOW, "--", "train", *given]), by_file)
    last = start_training(given, root / "last.log", ranks=2)
    assert last.wait() == [0, 0], last.said
    return path, root / "ddp", position, codes, said


def test_a_request_to_leave_ends_both_launchers_with_the_trainings_exit_code(stopped):
    _, _, position, codes, said = stopped
    assert position.epoch == 0 and position.phase is Phase.TRAIN and position.step > 0
    assert codes == {"by signal": [75], "by file": [75]}, said
    assert "asked to leave by the stop file: saved at" in said


def test_a_run_of_zero_that_was_stopped_ends_like_the_uninterrupted_one_to_the_last_bit(stopped, runs):
    assert differences(stopped[0], runs["deepspeed"]) == []


def test_a_run_of_zero_goes_on_with_ddp_where_that_is_named(stopped, runs, small_cohort, tmp_path):
    path = stopped[1]
    given = settings(small_cohort, output=path)
    refused = start_training(given, tmp_path / "refused.log", ranks=2)
    assert refused.wait() == [2, 2]
    assert "training.engine: deepspeed → ddp" in refused.said
    named = start_training([*given, "--change", "training.engine"], tmp_path / "named.log", ranks=2)
    assert named.wait() == [0, 0], named.said
    assert f"going on at {stopped[2]}" in named.said
    insist_close(path, runs["deepspeed"], tolerance=1e-5)
