"""Studies and trainings handed to a real Slurm by ``dcam-dist submit``: pytest -m slurm; needs root, see up.sh."""

import json
import math
import re
import shutil
import statistics
import subprocess
import time

import pytest
from cluster import ended, epochs_done, events, job, said, site_file, slurm_says, submit, wait_until
from support.cohorts import make_cohort, settings
from support.processes import REPOSITORY, dcam_dist
from support.trainings import start_training

from benchmarks.ingest_kills import tree_hash
from benchmarks.kill_chain import differences
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.runs import latest_checkpoint
from dcam_dist.runs.metrics_log import read_metrics

pytestmark = pytest.mark.slurm

EPOCHS, LONG = 20, 300
"""The second takes longer than any of these tests lets it run."""
BEYOND_THE_LIMIT_S = 70
"""Of training, when Slurm's shortest limit is a minute and a job needs some of it to begin and to leave."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort") / "cohort.zarr", 13)


@pytest.fixture(scope="module")
def whole(cohort, tmp_path_factory):
    """Trainings that nothing happened to, on two ranks, by their number of epochs."""
    made = {}

    def of(epochs):
        if epochs not in made:
            folder = tmp_path_factory.mktemp("whole")
            words = settings(cohort, output=folder / "run", training__epochs=epochs)
            training = start_training(words, folder / "log.txt", ranks=2)
            assert training.wait(500) == [0, 0], training.said
            made[epochs] = folder / "run"
        return made[epochs]

    return of


def train(cohort, folder, *options, epochs=EPOCHS, site=None, **overrides):
    """Submit a training of two nodes, one rank each; its job and its run."""
    run = folder / "run"
    words = settings(cohort, output=run, training__epochs=epochs, **overrides)
    return submit(*words, "--site", site or site_file(folder), "--nodes", 2, *options)["train"], run


def test_a_study_goes_from_scans_to_a_report_by_dependencies(slurm, tmp_path):
    table = write_phantom_cohort(tmp_path / "scans", cases=12, matrix=96, format="nifti")
    cohort, run, smoke = tmp_path / "c.zarr", tmp_path / "run", REPOSITORY / "configs" / "smoke.yaml"
    words = ["--config", smoke, "--site", site_file(tmp_path), f"data.cohort={cohort}", f"output={run}"]
    jobs = submit(*words, "--pipeline", "--scans", table, "--array", 12, "--nodes", 2)
    assert list(jobs) == ["ingest", "seal", "train", "evaluate", "maps", "report"]
    assert job(jobs["report"])["JobState"] == "PENDING"
    assert ended(jobs["report"], run, 600) == "COMPLETED", said(jobs["report"], run)
    assert [events(jobs[name], run)[-1] for name in ("seal", "train", "evaluate", "maps", "report")] == [
        "ended exit=0"
    ] * 5
    assert len(list((run / "jobs").glob(f"{jobs['ingest']}_*.events"))) == 12
    assert "2 rank(s)" in said(jobs["train"], run)
    assert latest_checkpoint(run).finished
    assert (run / "evaluation.json").exists() and list((run / "maps").glob("*/dcam-winner.nii.gz"))
    assert (run / "report.html").exists()
    state = json.loads(dcam_dist("status", run, "--json").stdout)
    assert [one["now"]["state"] for one in state["jobs"]] == ["done"] * 6
    (plain := tmp_path / "plain").mkdir()
    (plain / "c.private.json").write_bytes((tmp_path / "c.private.json").read_bytes())
    assert dcam_dist("ingest", table, "--config", smoke, "--out", plain / "c.zarr").returncode == 0
    assert tree_hash(cohort) == tree_hash(plain / "c.zarr")


def test_a_training_that_reaches_its_time_limit_is_requeued_and_ends_bit_for_bit(slurm, tmp_path, cohort, whole):
    pace_s = statistics.median(sum(line["seconds"].values()) for line in read_metrics(whole(EPOCHS)))
    epochs = math.ceil(BEYOND_THE_LIMIT_S / pace_s)
    number, run = train(cohort, tmp_path, epochs=epochs, site=site_file(tmp_path, time="00:01:00", leave=2))
    assert ended(number, run, 600) == "COMPLETED", said(number, run)
    noted = events(number, run)
    requeued = [one for one in noted if one.startswith("requeued exit=75")]
    assert requeued and noted[-1] == "ended exit=0"
    assert job(number)["Restarts"] == str(len(requeued))
    assert "DUE TO TIME LIMIT" not in said(number, run)
    assert differences(run, whole(epochs)) == []


def test_a_signal_by_scancel_saves_requeues_and_ends_bit_for_bit(slurm, tmp_path, cohort, whole):
    number, run = train(cohort, tmp_path)
    wait_until(lambda: epochs_done(run) >= 3)
    slurm_says("scancel", "--signal=USR1", number)
    assert ended(number, run) == "COMPLETED", said(number, run)
    assert events(number, run)[1] == "requeued exit=75 restart=1"
    assert "asked to leave by SIGUSR1" in said(number, run)
    assert differences(run, whole(EPOCHS)) == []


def test_a_preempted_training_saves_gives_way_and_ends_bit_for_bit(slurm, tmp_path, cohort, whole):
    number, run = train(cohort, tmp_path)
    wait_until(lambda: epochs_done(run) >= 3)
    words = ["sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
    urgent = slurm_says(*words, "--wrap=sleep 3").strip()
    wait_until(lambda: job(urgent)["JobState"] == "RUNNING", 60)
    assert job(number)["JobState"] == "PENDING"
    assert "asked to leave by SIG" in said(number, run)
    assert not latest_checkpoint(run).finished
    assert ended(number, run) == "COMPLETED", said(number, run)
    assert differences(run, whole(EPOCHS)) == []


def test_a_drained_node_gets_no_more_work_and_the_training_goes_on_with_what_is_left(slurm, tmp_path, cohort):
    number, run = train(cohort, tmp_path)
    wait_until(lambda: epochs_done(run) >= 3)
    slurm_says("scontrol", "update", "nodename=n2", "state=drain", "reason=test")
    try:
        slurm_says("scancel", "--signal=USR1", number)
        wait_until(lambda: job(number)["JobState"] == "PENDING", 60)
        state = json.loads(dcam_dist("status", run, "--json").stdout)
        assert state["jobs"][0]["now"]["state"] == "waiting"
        slurm_says("scancel", number)
        left = submit(*settings(cohort, output=run, training__epochs=EPOCHS), "--site", site_file(tmp_path))["train"]
        assert ended(left, run) == "COMPLETED", said(left, run)
    finally:
        slurm_says("scontrol", "update", "nodename=n2", "state=resume")
    assert "going on at" in said(left, run) and "1 rank(s)" in said(left, run)
    assert latest_checkpoint(run).finished


def test_a_failed_node_costs_no_more_than_the_last_checkpoint(slurm, tmp_path, cohort, whole):
    number, run = train(cohort, tmp_path, training__checkpoint_minutes=0)
    wait_until(lambda: epochs_done(run) >= 3)
    slurm_says("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    try:
        wait_until(lambda: job(number)["JobState"] == "PENDING", 60)
    finally:  # it may have come back by itself
        subprocess.run(["scontrol", "update", "nodename=n2", "state=resume"], check=False, capture_output=True)
    assert ended(number, run) == "COMPLETED", said(number, run)
    assert job(number)["Restarts"] == "1" and said(number, run).count("going on at") == 1
    assert differences(run, whole(EPOCHS)) == []


def test_what_was_requeued_often_enough_ends_and_nothing_waits_for_it(slurm, tmp_path, cohort):
    run = tmp_path / "run"
    words = settings(cohort, output=run, training__epochs=LONG)
    site = site_file(tmp_path, requeues=1)
    jobs = submit(*words, "--site", site, "--nodes", 2, "--pipeline")
    number = jobs["train"]
    for restart in (0, 1):
        wait_until(lambda r=restart: events(number, run).count(f"started host=n1 restart={r}"))
        before = epochs_done(run)
        wait_until(lambda least=before: epochs_done(run) > least)
        assert [job(jobs[name])["JobState"] for name in ("evaluate", "maps", "report")] == ["PENDING"] * 3
        slurm_says("scancel", "--signal=USR1", number)
    assert ended(number, run) == "FAILED"
    assert events(number, run)[-1] == "ended exit=75"
    assert "not requeued: it has been requeued 1 times already. Submit it again to go on." in said(number, run)
    wait_until(lambda: not slurm_says("squeue", "--noheader"), 60)
    state = json.loads(dcam_dist("status", run, "--json").stdout)
    assert state["jobs"][0]["now"]["state"] == "failed"


def test_a_cancelled_training_stays_cancelled(slurm, tmp_path, cohort):
    number, run = train(cohort, tmp_path, epochs=LONG)
    wait_until(lambda: epochs_done(run) >= 3)
    slurm_says("scancel", number)
    assert ended(number, run) == "CANCELLED"
    wait_until(lambda: not slurm_says("squeue", "--noheader"), 60)
    assert job(number)["JobState"] == "CANCELLED" and job(number)["Restarts"] == "0"


@pytest.mark.parametrize(
    ("more", "options", "line"),
    [
        ("partition: nosuch", (), "Slurm refuses the train job: .*partition.* look at partition"),
        ("gpus: 0", ("--nodes", 9), "Slurm refuses the train job: .*[Nn]ode"),
        ("memory_gb: 4000", (), "Slurm refuses the train job: .*(node configuration|[Mm]emory)"),
        ("gpus: 4", (), "Slurm refuses the train job: "),
    ],
)
def test_what_cannot_be_had_is_one_line_and_nothing_is_left_in_the_queue(slurm, tmp_path, cohort, more, options, line):
    (tmp_path / "site.yaml").write_text(f"train: {{cores: 1, {more}}}\n")
    wait_until(lambda: not slurm_says("squeue", "--noheader"), 60)
    words = settings(cohort, output=tmp_path / "run")
    done = dcam_dist("submit", *words, "--site", tmp_path / "site.yaml", "--pipeline", *options)
    assert done.returncode == 4, done.stdout
    (told,) = done.stderr.splitlines()
    assert re.search(line, told), told
    assert not slurm_says("squeue", "--noheader")
    assert not (tmp_path / "run").exists()


def test_while_a_node_is_away_a_training_on_all_of_them_may_wait_for_it(slurm, tmp_path, cohort):
    wait_until(lambda: not slurm_says("squeue", "--noheader"), 60)
    slurm_says("scontrol", "update", "nodename=n2", "state=drain", "reason=test")
    try:
        number, _ = train(cohort, tmp_path, epochs=2)
        assert job(number)["JobState"] == "PENDING"
        slurm_says("scancel", number)
    finally:
        slurm_says("scontrol", "update", "nodename=n2", "state=resume")


def test_of_a_study_whose_second_job_cannot_be_had_nothing_is_left(slurm, tmp_path):
    table = write_phantom_cohort(tmp_path / "scans", cases=1, matrix=96, format="nifti")
    (tmp_path / "site.yaml").write_text("train: {partition: nosuch, gpus: 0}\ningest: {cores: 1}\n")
    words = [f"data.cohort={tmp_path / 'c.zarr'}", f"output={tmp_path / 'run'}", "--site", tmp_path / "site.yaml"]
    done = dcam_dist("submit", *words, "--pipeline", "--scans", table)
    assert done.returncode == 4 and "Slurm refuses the train job" in done.stderr
    wait_until(lambda: not slurm_says("squeue", "--noheader"), 60)
    assert not list((tmp_path / "run").rglob("*.json"))


def test_a_cohort_that_no_node_can_open_ends_the_job_before_any_work(slurm, tmp_path, cohort):
    copy = shutil.copytree(cohort, tmp_path / "copy.zarr")
    slurm_says("scontrol", "update", "partitionname=cpu", "state=down")
    try:
        number, run = train(copy, tmp_path)
        shutil.rmtree(copy)
    finally:
        slurm_says("scontrol", "update", "partitionname=cpu", "state=up")
    assert ended(number, run) == "FAILED"
    assert events(number, run)[-1] == "ended exit=4"
    assert "copy.zarr: no cohort here" in said(number, run) and "rank(s)" not in said(number, run)


@pytest.mark.parametrize("to", [("--batch",), ()], ids=["to the script", "to its steps"])
def test_a_signal_at_the_very_beginning_costs_a_restart_and_no_more(slurm, tmp_path, cohort, to):
    number, run = train(cohort, tmp_path, epochs=2)
    wait_until(lambda: events(number, run))
    time.sleep(0 if to else 1.5)  # the first step must be there
    slurm_says("scancel", "--signal=USR1", *to, number)
    assert ended(number, run) == "COMPLETED", said(number, run)
    assert events(number, run)[1] == "requeued exit=75 restart=1"


def test_a_job_that_slurm_requeues_itself_is_noted_as_waiting(slurm, tmp_path, cohort, whole):
    number, run = train(cohort, tmp_path)
    wait_until(lambda: epochs_done(run) >= 3)
    slurm_says("scontrol", "requeue", number)
    assert ended(number, run) == "COMPLETED", said(number, run)
    noted = events(number, run)
    assert "requeued exit=75 restart=1" in noted and not any(one.startswith("ended") for one in noted[:-1])
    assert differences(run, whole(EPOCHS)) == []


def test_one_task_of_an_array_that_is_asked_to_leave_is_requeued_alone(slurm, tmp_path):
    table = write_phantom_cohort(tmp_path / "scans", cases=8, matrix=160, format="nifti")
    words = ["--config", REPOSITORY / "configs" / "smoke.yaml", "--site", site_file(tmp_path)]
    paths = [f"data.cohort={tmp_path / 'c.zarr'}", f"output={tmp_path / 'run'}"]
    jobs, run = submit(*words, *paths, "--job", "ingest", "--scans", table, "--array", 2), tmp_path / "run"
    # the second is the one that has the array's own number
    wait_until(lambda: events(f"{jobs['ingest']}_2", run))
    slurm_says("scancel", "--signal=USR1", "--batch", f"{jobs['ingest']}_2")
    assert ended(jobs["seal"], run) == "COMPLETED", said(jobs["ingest"], run)
    assert events(f"{jobs['ingest']}_1", run) == ["started host=n1 restart=0", "ended exit=0"]
    assert events(f"{jobs['ingest']}_2", run)[1] == "requeued exit=75 restart=1"
