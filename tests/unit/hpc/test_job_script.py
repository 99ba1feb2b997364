"""``launch_scripts/job.sh`` in a real shell: signals are handed on, exit codes kept, and the end noted."""

import os
import signal
import subprocess
import sys
import time

import pytest
from support.processes import REPOSITORY

LEAVES = """
import signal, sys, time
def leave(*_):
    time.sleep(0.5)
    sys.exit(75)
signal.signal(signal.SIGUSR1, leave)
print("ready", flush=True)
time.sleep(60)
"""


def job(body, tmp_path, **variables):
    """A batch script in its own process; notes go to ``tmp_path``."""
    (tmp_path / "job.sh").write_text(f"set -uo pipefail\nsource launch_scripts/job.sh\n{body}\n")
    env = {**os.environ, "SLURM_JOB_ID": "7", "DCAM_JOBS": str(tmp_path), "PATH": "/usr/bin:/bin", **variables}
    return subprocess.Popen(
        ["bash", tmp_path / "job.sh"],
        cwd=REPOSITORY,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def noted(tmp_path, name="7"):
    return [line.split(" ", 1)[1] for line in (tmp_path / f"{name}.events").read_text().splitlines()]


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answering(folder, told):
    """A folder with a ``scontrol`` that says this of every job and notes what it is asked."""
    program = folder / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >>{folder}/asked\n[ "$1" = requeue ] || echo "JobId=7 {told}"\n')
    program.chmod(0o755)
    return f"{program.parent}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("told", "variables", "last", "asked"),
    [
        ("JobState=RUNNING Restarts=0", {}, "requeued exit=75 restart=1", "requeue 7"),
        ("JobState=SIGNALING Restarts=0", {}, "requeued exit=75 restart=1", "requeue 7"),
        ("JobState=COMPLETING Restarts=0", {}, "ended exit=75", "-o show job 7"),
        ("JobState=COMPLETING Restarts=1", {}, "requeued exit=75 restart=1", "-o show job 7"),
        ("JobState=RUNNING Restarts=3", {"SLURM_RESTART_COUNT": "3"}, "requeued exit=75 restart=4", "requeue 7"),
        ("JobState=RUNNING Restarts=20", {"SLURM_RESTART_COUNT": "20"}, "ended exit=75", "-o show job 7"),
        (
            "JobState=RUNNING Restarts=0",
            {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"},
            "requeued exit=75 restart=1",
            "requeue 7_3",
        ),
    ],
)
def test_what_becomes_of_a_job_that_was_asked_to_leave(tmp_path, told, variables, last, asked):
    done = job("finish 75", tmp_path, PATH=answering(tmp_path, told), **variables)
    done.communicate(timeout=30)
    assert done.returncode == 75
    assert noted(tmp_path, "7_3" if "SLURM_ARRAY_JOB_ID" in variables else "7")[-1] == last
    assert (tmp_path / "asked").read_text().splitlines()[-1] == asked


@pytest.mark.parametrize("code", [0, 3, 4])
def test_the_exit_code_of_the_work_is_that_of_the_job(tmp_path, code):
    done = job(f"run bash -c 'exit {code}'\nfinish $code", tmp_path, SLURMD_NODENAME="n7")
    done.communicate(timeout=30)
    assert done.returncode == code
    assert noted(tmp_path) == ["started host=n7 restart=0", f"ended exit={code}"]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_the_script_is_handed_on_and_the_work_waited_for(tmp_path, number):
    (tmp_path / "work.py").write_text(LEAVES)
    started = job(
        f"run {sys.executable} {tmp_path / 'work.py'}\nfinish $code",
        tmp_path,
        DCAM_REQUEUES="0",
        PATH=answering(tmp_path, "JobState=RUNNING Restarts=0"),
    )
    assert started.stdout.readline() == "ready\n"
    for _ in range(3):
        started.send_signal(number)
        time.sleep(0.05)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 75
    assert "not requeued" in err and noted(tmp_path)[-1] == "ended exit=75"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_work_that_is_ended_before_it_could_hear_of_a_request_has_left_on_request(tmp_path, number):
    started = job(
        "run sleep 30\nfinish $code",
        tmp_path,
        DCAM_REQUEUES="0",
        PATH=answering(tmp_path, "JobState=RUNNING Restarts=0"),
    )
    wait_for((tmp_path / "7.events").exists, 10)
    time.sleep(0.3)
    started.send_signal(number)
    started.communicate(timeout=30)
    assert started.returncode == 75 and noted(tmp_path)[-1] == "ended exit=75"


def test_after_a_request_no_more_work_is_begun(tmp_path):
    started = job(
        f"kill -USR1 $$\nrun touch {tmp_path / 'begun'}\nfinish $code",
        tmp_path,
        DCAM_REQUEUES="0",
        PATH=answering(tmp_path, "JobState=RUNNING Restarts=0"),
    )
    started.communicate(timeout=30)
    assert started.returncode == 75 and not (tmp_path / "begun").exists()


def test_a_stop_file_keeps_the_job_out_of_the_queue(tmp_path):
    (tmp_path / "stop").touch()
    path = answering(tmp_path, "JobState=RUNNING Restarts=0")
    started = job(f"nodes=1\nexpect output={tmp_path}\nfinish 75", tmp_path, PATH=path)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 75 and f"not requeued: {tmp_path}/stop asks for it" in err


def test_without_scontrol_it_says_so(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("bash", "date", "hostname", "sleep"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    done = job("finish 75", tmp_path, PATH=str(tmp_path / "bin"))
    _, err = done.communicate(timeout=30)
    assert done.returncode == 75
    assert "not requeued: scontrol is not here (a container?). Submit it again to go on." in err


def test_a_task_of_an_array_has_notes_of_its_own(tmp_path):
    done = job("finish 0", tmp_path, SLURM_ARRAY_JOB_ID="5", SLURM_ARRAY_TASK_ID="3")
    done.communicate(timeout=30)
    assert noted(tmp_path, "5_3")[-1] == "ended exit=0"
