"""What the files of a run come to: each state, each warning, what to do, and how it reads."""

import io
import json
from dataclasses import asdict, replace

import pytest

from dcam_dist.commands.status_text import MOST_COLUMNS, print_status
from dcam_dist.config import load_config
from dcam_dist.hpc.run_files import RunFiles, Saved
from dcam_dist.hpc.status import judge
from dcam_dist.runs.jobs import JobRecord, JobState, TaskState
from dcam_dist.runs.live import Live
from dcam_dist.types import Phase, Position

NOW = 1_000_000.0
CONFIG = load_config(None, ["training.epochs=10", "network.precision=bf16"])
SAID = Live(
    time_s=NOW - 12,
    started_s=NOW - 5000,
    moved_s=NOW - 13,
    phase="train",
    epoch=2,
    done=412,
    total=2000,
    volumes_per_second=3.21,
    loss=1.2345,
    nmi=0.812,
    left_s=180_000.0,
    ranks=4,
    host="n1",
    pid=4242,
    job="42",
)
EPOCH = {"epoch": 1, "loss": 1.5, "nmi_previous": 0.7, "silhouette": 0.41, "cluster_sizes": [30, 40], "ranks": 2}
SAVED = Saved(Position(2, Phase.TRAIN, 5), NOW - 700, "epoch-0002-3-train-000005")
CLOSED = Saved(Position(10, Phase.DONE), NOW - 60, "epoch-0010-4-done-000000")
RUNNING = RunFiles(CONFIG, SAID, SAVED, (EPOCH,), 0, (), stop=False, scored=False)
EMPTY = RunFiles(CONFIG, None, None, (), 0, (), stop=False, scored=False)


def left(reason, code):
    return replace(SAID, time_s=NOW - 900, ended=reason, exit_code=code)


SILENT = replace(SAID, time_s=NOW - 840)


def job(state, since_s=NOW - 100, *, name="train", job_id="42", after=(), **task):
    record = JobRecord(job_id, name, f"{name}.sh", f"/runs/jobs/{job_id}.log", after, NOW - 7200)
    return JobState(record, TaskState(state, since_s, "n1", **task))


STATES = {
    "prepared": (EMPTY, "start it: dcam-dist train --config R/config.yaml"),
    "prepared without a configuration": (replace(EMPTY, config=None), "start a training with output=R"),
    "waiting": (replace(EMPTY, config=None, jobs=(job("waiting", None),)), "nothing; job 42 starts"),
    "waiting again": (
        replace(RUNNING, live=left("asked to leave", 75), jobs=(job("waiting", restarts=1),)),
        "nothing; job 42 starts",
    ),
    "waiting after a silent start": (replace(RUNNING, live=SILENT, jobs=(job("waiting", restarts=1),)), "nothing; job"),
    "starting": (replace(RUNNING, live=replace(SAID, phase=None, epoch=None)), "wait; the first phase"),
    "starting in a job": (replace(EMPTY, jobs=(job("running"),)), "wait; the first phase"),
    "starting again": (replace(RUNNING, live=left("asked to leave", 75), jobs=(job("running"),)), "wait; the first"),
    "training": (RUNNING, "nothing; to have it save and leave: touch R/stop"),
    "training, asked to leave": (replace(RUNNING, stop=True), "nothing; it is leaving"),
    "training once more": (replace(RUNNING, saved=CLOSED), "nothing; to have it save"),
    "training in a job": (replace(RUNNING, jobs=(job("running", NOW - 5100),)), "nothing; to have it save"),
    "silent": (replace(RUNNING, live=SILENT), "see whether it still runs (squeue -j 42)"),
    "silent alone": (
        replace(RUNNING, live=replace(SILENT, job=None)),
        "see whether it still runs (process 4242 on n1)",
    ),
    "silent in a job": (
        replace(RUNNING, live=SILENT, jobs=(job("running", NOW - 5100),)),
        "said last (/runs/jobs/42.log)",
    ),
    "stopped": (replace(RUNNING, live=left("asked to leave by the stop file", 75)), "start the same command again"),
    "stopped by Ctrl-C": (replace(RUNNING, live=left("KeyboardInterrupt", 130)), "start the same command again"),
    "failed": (replace(RUNNING, live=left("lost rank 1", 4)), "read the reason, mend what it names"),
    "failed before the run": (
        replace(EMPTY, jobs=(job("failed", exit_code=2),)),
        "read the reason and the log /runs/jobs/42.log",
    ),
    "failed in a killed job": (
        replace(RUNNING, live=SILENT, jobs=(job("failed", exit_code=137),)),
        "read the reason and the log",
    ),
    "finished": (replace(RUNNING, live=left("done", 0), saved=CLOSED), "dcam-dist evaluate R"),
    "finished and scored": (replace(RUNNING, live=left("done", 0), saved=CLOSED, scored=True), "dcam-dist maps R"),
    "finished and drawn": (
        replace(RUNNING, live=left("done", 0), saved=CLOSED, scored=True, mapped=True),
        "dcam-dist report R",
    ),
    "finished and reported": (
        replace(RUNNING, live=left("done", 0), saved=CLOSED, scored=True, mapped=True, reported=True),
        "open R/report.html in a browser",
    ),
    "finished without a live file": (replace(EMPTY, saved=CLOSED), "dcam-dist evaluate R"),
    "finished early": (
        replace(RUNNING, live=left("done", 0), saved=replace(CLOSED, position=Position(7, Phase.DONE))),
        "dcam-dist evaluate R",
    ),
    "finished, then killed": (replace(RUNNING, live=SILENT, saved=CLOSED), "dcam-dist evaluate R"),
    "unknown": (replace(EMPTY, saved=SAVED), "it has no progress.json"),
}


@pytest.mark.parametrize("story", STATES)
def test_each_state_with_what_to_do(story):
    files, advice = STATES[story]
    found = judge("R", files, NOW)
    assert found.state == story.replace(",", "").split()[0]
    assert advice in found.next
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize("story", STATES)
def test_each_state_reads_well_without_a_terminal(story):
    lines = shown(judge("R", STATES[story][0], NOW))
    assert lines[0].startswith("R: ") and "\x1b" not in "".join(lines)
    assert all(len(line) <= MOST_COLUMNS and line == line.rstrip() for line in lines)
    assert any(line.startswith("  next ") for line in lines)
    assert "None" not in "".join(lines) and "  \n" not in "\n".join(lines)


def shown(found):
    out = io.StringIO()
    print_status(found, out)
    return out.getvalue().splitlines()


def test_a_training_is_told_with_all_its_figures():
    assert shown(judge("R", replace(RUNNING, set_aside=2), NOW)) == [
        "R: training",
        "  method      dcam, 10 epochs, bf16, 4 ranks",
        "  position    epoch 3/10, training, 412 of 2000 volumes",
        "              [########................................] 21%",
        "  figures     loss 1.2345, NMI to the epoch before 0.812, silhouette 0.410, 3.21 volumes/s, 50 h 00",
        "              min left",
        "  alive       12 s ago on n1, process 4242, job 42",
        "  checkpoint  epoch 3/10, before training, step 6; 12 min old",
        "  set aside   2 of the cases, listed in set_aside.json",
        "  next        nothing; to have it save and leave: touch R/stop",
    ]


def test_silence_is_told_with_what_it_may_mean():
    lines = " ".join(" ".join(shown(judge("R", replace(RUNNING, live=SILENT), NOW))).split())
    assert "alive no sign of life for 14 min: it is waiting in the queue, or it has died; last on n1" in lines
    assert "volumes/s" not in lines and "h 00 min left" not in lines


@pytest.mark.parametrize(("age_s", "state"), [(180, "training"), (181, "silent")])
def test_a_start_may_be_silent_for_three_minutes(age_s, state):
    assert judge("R", replace(RUNNING, live=replace(SAID, time_s=NOW - age_s)), NOW).state == state


def test_why_it_left_is_told():
    lines = shown(judge("R", replace(RUNNING, live=left("lost rank 1 (n2)", 4)), NOW))
    assert "  left        15 min ago, exit code 4 on n1: lost rank 1 (n2)" in lines
    killed = judge("R", replace(RUNNING, live=SILENT, jobs=(job("failed", exit_code=137),)), NOW)
    assert (killed.reason, killed.exit_code) == (
        "job 42 ended with exit code 137, killed: by its memory limit, or by hand",
        137,
    )


def test_an_older_job_s_end_is_not_that_of_a_later_start():
    ended = job("failed", SAID.started_s - 10, exit_code=3)
    assert judge("R", replace(RUNNING, live=SILENT, jobs=(ended,)), NOW).state == "silent"


def test_a_job_whose_script_has_not_yet_noted_its_end_is_not_starting_again():
    files = replace(RUNNING, live=left("asked to leave", 75), jobs=(job("running", NOW - 901),))
    assert judge("R", replace(files, live=replace(files.live, time_s=NOW - 1)), NOW).state == "stopped"
    soon = replace(files, live=replace(files.live, time_s=NOW - 1), jobs=(job("running", NOW - 60),))
    assert judge("R", soon, NOW).state == "stopped"


def test_a_job_that_began_long_ago_and_never_came_to_the_run_is_not_starting():
    assert judge("R", replace(EMPTY, jobs=(job("running", NOW - 1000),)), NOW).state == "prepared"


def test_the_last_epoch_stands_in_for_what_a_new_start_has_not_told_yet():
    found = judge("R", replace(RUNNING, live=replace(SAID, loss=None, nmi=None)), NOW)
    assert (found.loss, found.nmi, found.silhouette) == (1.5, 0.7, 0.41)
    odd = {**EPOCH, "loss": "low", "silhouette": None, "nmi_previous": True}
    found = judge("R", replace(RUNNING, live=replace(SAID, loss=None, nmi=None), metrics=(odd,)), NOW)
    assert (found.loss, found.nmi, found.silhouette) == (None, None, None)


WARNINGS = {
    "one cluster holds 95% of the cases": {"metrics": ({**EPOCH, "cluster_sizes": [95, 5]},)},
    "2 steps were left out, their loss was not finite": {"metrics": ({**EPOCH, "skipped_steps": 2},)},
    "no volume was done for 12 min": {"live": replace(SAID, moved_s=NOW - 720)},
    "the stop file is there: it saves and leaves": {"stop": True},
    "the stop file is there, but the next start removes it": {"stop": True, "live": SILENT},
    "has no manifest: the next start passes it over": {"saved": replace(SAVED, saved_s=None)},
    "the clock of n1 is 300 s ahead": {"live": replace(SAID, time_s=NOW + 300)},
    "progress.json is damaged": {"damaged": ("progress.json is damaged",)},
    "job 43 waits for job 42, which has failed": {
        "jobs": (job("failed", exit_code=3, name="seal"), job("waiting", None, job_id="43", after=("42",)))
    },
}


@pytest.mark.parametrize("sentence", WARNINGS)
def test_each_warning(sentence):
    [said] = judge("R", replace(RUNNING, **WARNINGS[sentence]), NOW).warnings
    assert sentence in said


def test_nothing_is_warned_of_without_a_reason():
    harmless = {**EPOCH, "cluster_sizes": [90, 10], "skipped_steps": 0}
    for odd in ({}, harmless, {**EPOCH, "cluster_sizes": ["many"]}, {**EPOCH, "cluster_sizes": []}):
        assert judge("R", replace(RUNNING, metrics=(odd,)), NOW).warnings == ()
    stuck = replace(SAID, total=0, phase="cluster", moved_s=NOW - 5000)
    assert judge("R", replace(RUNNING, live=stuck), NOW).warnings == ()


def test_a_training_behind_a_failed_job_will_not_start_and_the_way_out_is_told():
    chain = (
        job("failed", exit_code=3, name="ingest", job_id="40"),
        job("waiting", None, name="seal", job_id="41", after=("40",)),
        job("waiting", None, after=("41",)),
    )
    found = judge("R", replace(EMPTY, config=None, jobs=chain), NOW)
    assert found.state == "waiting" and len(found.warnings) == 2
    assert "see why job 40 failed (/runs/jobs/40.log)" in found.next


def test_a_silent_one_whose_job_noted_no_end_does_not_wait_in_the_queue():
    running = job("running", NOW - 5100)
    lines = " ".join(" ".join(shown(judge("R", replace(RUNNING, live=SILENT, jobs=(running,)), NOW))).split())
    assert "for 14 min: its job has noted no end: it has died, or hangs; last on n1" in lines
    assert "42 train: running on n1 for 85 min" in lines


def test_where_the_next_start_goes_on_its_volumes_are_not_those_of_the_last():
    files = replace(RUNNING, live=left("asked to leave", 75), jobs=(job("waiting", restarts=1),))
    found = judge("R", files, NOW)
    assert (found.epoch, found.phase, found.done, found.total) == (2, "train", 0, 0)
    assert not any(line.startswith("  alive") for line in shown(found))


def test_jobs_are_listed_one_a_line():
    record = JobRecord("40", "ingest", "i.sh", "i.log", (), NOW - 7200, 20)
    ingest = JobState(
        record, TaskState("running", NOW - 60, "n3"), {"done": 5, "failed": 1, "running": 2, "waiting": 12}
    )
    again = job("waiting", restarts=2)
    lines = shown(judge("R", replace(EMPTY, jobs=(ingest, job("done", exit_code=0, job_id="41"), again)), NOW))
    assert lines[3] == "  jobs        40 ingest: running (5 done, 1 failed, 2 running, 12 waiting)"
    assert lines[4] == "              41 train: done, 2 min ago"
    assert lines[5] == "              42 train: waiting again, requeued 2 times"


def test_a_long_path_stays_in_one_piece():
    run = "/scratch/" + "x" * 120
    assert f"{run}/stop" in " ".join(shown(judge(run, RUNNING, NOW))).split()
