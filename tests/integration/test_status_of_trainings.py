"""``status`` of real trainings: while they train, after they left, were killed, ended, and before they began."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from support.cohorts import settings
from support.launched import wait_for
from support.processes import REPOSITORY, dcam_dist, environment
from support.trainings import start_training

from dcam_dist.config import load_config
from dcam_dist.runs import open_run_directory
from dcam_dist.runs.jobs import JobRecord, write_job
from dcam_dist.runs.live import LIVE, read_live

pytestmark = pytest.mark.distributed


def status(run):
    ended = dcam_dist("status", run, "--json")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return json.loads(ended.stdout)


def text(run):
    ended = dcam_dist("status", run)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return ended.stdout


def tree(root):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in [root, *root.rglob("*")]}


def start(cohort, run, ranks=1, **chosen):
    return start_training(settings(cohort, output=run, **chosen), run.with_suffix(".log"), ranks=ranks)


def in_phase(run, training, phase="train"):
    def seen():
        assert training.processes(), training.said
        live = read_live(run)
        return live is not None and live.ended is None and live.phase == phase and live.epoch

    wait_for(seen, 120)


def turn_back(run, seconds):
    """As if so much time had passed since the process was killed."""
    said = json.loads((run / LIVE).read_text())
    for name in ("time_s", "moved_s", "started_s"):
        said[name] -= seconds
    (run / LIVE).write_text(json.dumps(said))


@pytest.fixture(scope="module")
def story(tmp_path_factory, small_cohort):
    """One run through its life, with what status said of it at each stop."""
    run, said = tmp_path_factory.mktemp("story") / "run", {}
    training = start(small_cohort, run, 2, training__epochs=400)
    try:
        in_phase(run, training)
        assert (run / "lock").exists()
        said["training"] = status(run), text(run)
        (run / "stop").touch()
        said["codes"] = training.wait()
        said["stopped"] = status(run), text(run)
        training = start(small_cohort, run, training__epochs=400)
        in_phase(run, training)
        training.signal(signal.SIGKILL)
        training.wait()
        said["killed"] = status(run), text(run)
        turn_back(run, 840)
        before = tree(run)
        said["silent"] = status(run), text(run)
        assert tree(run) == before
    finally:
        training.kill()
    return run, said


def test_while_it_trains_another_process_tells_how_it_stands(story):
    found, words = story[1]["training"]
    assert (found["state"], found["method"], found["epochs"], found["ranks"]) == ("training", "dcam", 400, 2)
    assert found["epoch"] >= 1 and found["phase"] in ("extract", "cluster", "train") and found["silent_s"] < 60
    assert found["saved"]["whole"] and found["loss"] > 0 and -1 <= found["silhouette"] <= 1
    assert (found["precision"], found["set_aside"], found["warnings"]) == ("fp32", 0, [])
    assert words.splitlines()[0].endswith("run: training") and "s ago on " in words


def test_after_the_stop_file_it_has_stopped_and_says_why(story):
    found, words = story[1]["stopped"]
    assert story[1]["codes"] == [75, 75]
    assert (found["state"], found["exit_code"]) == ("stopped", 75)
    assert found["reason"].startswith("asked to leave by the stop file: saved at epoch ")
    assert "start the same command again" in found["next"] and "stopped on request" in words


def test_a_killed_one_falls_silent(story):
    found, _ = story[1]["killed"]
    assert found["state"] == "training" and found["ranks"] == 1  # which is all that can be known so soon
    found, words = story[1]["silent"]
    assert found["state"] == "silent" and 840 <= found["silent_s"] < 960 and found["reason"] is None
    assert "no sign of life for 14 min: it is waiting in the queue, or it has died" in " ".join(words.split())


def test_no_name_of_a_live_file_is_left_half_written(story):
    assert [path.name for path in story[0].iterdir() if path.name.startswith(".")] == []


def test_a_finished_one_and_a_start_that_finds_it_so(tmp_path, small_cohort):
    run = tmp_path / "run"
    for _ in range(2):
        training = start(small_cohort, run, training__epochs=1)
        assert training.wait() == [0], training.said
        found = status(run)
        assert (found["state"], found["exit_code"], found["reason"]) == ("finished", 0, None)
        assert found["next"] == f"dcam-dist evaluate {run}"
    assert "position    1 epochs done" in text(run)


def test_a_failed_one_says_with_what(tmp_path, small_cohort):
    run = tmp_path / "run"
    arguments = settings(small_cohort, output=run, training__skipped_steps=0)
    training = start_training(arguments, tmp_path / "log", faults=["poison@forward:5+"])
    assert training.wait() == [3], training.said
    found = status(run)
    assert (found["state"], found["exit_code"]) == ("failed", 3)
    assert found["reason"] in training.said and "read the reason" in found["next"]


def test_a_second_training_that_is_refused_does_not_speak_for_the_first(tmp_path, small_cohort):
    run = tmp_path / "run"
    training = start(small_cohort, run, training__epochs=400)
    try:
        in_phase(run, training)
        second = start_training(settings(small_cohort, output=run, training__epochs=400), tmp_path / "second.log")
        assert second.wait() == [4] and "another training is running" in second.said
        assert status(run)["state"] == "training"
    finally:
        training.kill()


def test_a_run_that_was_only_made_or_submitted(tmp_path, small_cohort):
    made = open_run_directory(load_config(None, settings(small_cohort, output=tmp_path / "made")))
    assert status(made)["state"] == "prepared"
    write_job(tmp_path / "sent", JobRecord("42", "train", "train.sh", "42.log", (), 1.0))
    found = status(tmp_path / "sent")
    assert found["state"] == "waiting" and found["jobs"][0]["job"]["name"] == "train"
    (tmp_path / "sent" / "jobs" / "42.events").write_text("2026-01-01T00:00:00Z started host=n1 restart=0\n2026-01-0")
    assert status(tmp_path / "sent")["jobs"][0]["now"]["host"] == "n1"


def refusal(run, code, before=()):
    command = [*before, sys.executable, "-m", "dcam_dist", "status", str(run)]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (code, "")
    [line] = ended.stderr.splitlines()
    return line


def test_what_is_no_run_is_one_line(tmp_path, small_cohort):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "none", tmp_path / "file", small_cohort):
        assert f"{place}: no run here" in refusal(place, code=2)


@pytest.mark.parametrize("content", ["method: [", "nonsense: 1", "", "\x00", "training: {epochs: many}"])
def test_a_damaged_configuration_is_one_line(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    if content:
        assert "the run's configuration is damaged" in refusal(tmp_path, code=3)
    else:
        assert status(tmp_path)["method"] == "dcam"  # the defaults, as for a training


def test_cut_and_damaged_files_are_passed_over(tmp_path, dcam_run):
    run = shutil.copytree(dcam_run, tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"epoch": 3, "loss": 0.')
    (run / LIVE).write_text('{"time_s": 1')
    (run / "set_aside.json").write_text("[{")
    (newest := max((run / "checkpoints").iterdir())).joinpath("MANIFEST.json").unlink()
    found = status(run)
    assert found["loss"] > 0
    assert (found["saved"]["name"], found["saved"]["whole"], found["saved"]["age_s"]) == (newest.name, False, None)
    said = "\n".join(found["warnings"])
    assert "has no manifest" in said and "progress.json is damaged" in said and "set_aside.json: damaged" in said


@pytest.fixture
def namespaces():
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no namespaces of one's own here")


def test_a_read_only_mount_is_as_good(tmp_path, dcam_run, namespaces):
    run = shutil.copytree(dcam_run, tmp_path / "run")
    mount = f"mount --bind {run} {run} && mount -o remount,ro,bind {run} && ! touch {run}/x 2>&-"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    ended = subprocess.run(
        [*command, sys.executable, "-m", "dcam_dist", "status", str(run)],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{run}: finished\n")


@pytest.fixture
def bound():
    """A command in front of another, which then may read what its user may, even where that is root."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv to change that")
    return "setpriv", "--bounding-set=-dac_override,-dac_read_search"


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", LIVE])
def test_a_file_that_may_not_be_read_is_named(tmp_path, dcam_run, name, bound):
    run = shutil.copytree(dcam_run, tmp_path / "run")
    (run / name).touch()
    (run / name).chmod(0)
    assert f"{run / name}: Permission denied" in refusal(run, code=4, before=bound)
