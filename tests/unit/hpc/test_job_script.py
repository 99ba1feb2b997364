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


@pytest.mark.parametrize("code", [0, 3, 4])
def test_the_exit_code_of_the_work_is_that_of_the_job(tmp_path, code):
    done = job(f"run bash -c 'exit {code}'\nfinish $code", tmp_path, SLURMD_NODENAME="n7")
    done.communicate(timeout=30)
    assert done.returncode == code
    assert noted(tmp_path) == ["started host=n7 restart=0", f"ended exit={code}"]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_the_script_is_handed_on_and_the_work_waited_for(tmp_path, number):
    (tmp_path / "work.py").write_text(LEAVES)
    started = job(f"run {sys.executable} {tmp_path / 'work.py'}\nfinish $code", tmp_path, DCAM_REQUEUES="0")
    assert started.stdout.readline() == "ready\n"
    for _ in range(3):
        started.send_signal(number)
        time.sleep(0.05)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 75
    assert "not requeued" in err and noted(tmp_path)[-1] == "ended exit=75"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_work_that_is_ended_before_it_could_hear_of_a_request_has_left_on_request(tmp_path, number):
    started = job("run sleep 30\nfinish $code", tmp_path, DCAM_REQUEUES="0")
    wait_for((tmp_path / "7.events").exists, 10)
    time.sleep(0.3)
    started.send_signal(number)
    started.communicate(timeout=30)
    assert started.returncode == 75 and noted(tmp_path)[-1] == "ended exit=75"


def test_after_a_request_no_more_work_is_begun(tmp_path):
    started = job(f"kill -USR1 $$\nrun touch {tmp_path / 'begun'}\nfinish $code", tmp_path, DCAM_REQUEUES="0")
    started.communicate(timeout=30)
    assert started.returncode == 75 and not (tmp_path / "begun").exists()


def test_a_stop_file_keeps_the_job_out_of_the_queue(tmp_path):
    (tmp_path / "stop").touch()
    started = job(f"nodes=1\nexpect output={tmp_path}\nfinish 75", tmp_path)
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
