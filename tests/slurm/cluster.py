"""What the tests of a running Slurm share: asking it, submitting through the command line, waiting."""

import re
import subprocess
import time

from support.processes import dcam_dist

NO_MORE = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY"}
SITE = """
train: {{gpus: 0, cores: 1, time: "{time}"}}
ingest: {{gpus: 0, cores: 1, time: "00:10:00"}}
leave_seconds: {leave}
requeues: {requeues}
environment: {{OMP_NUM_THREADS: "1"}}
"""


def slurm_says(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def site_file(folder, *, time="00:10:00", requeues=20, leave=20):
    path = folder / "site.yaml"
    path.write_text(SITE.format(time=time, requeues=requeues, leave=leave))
    return path


def submit(*arguments):
    """Numbers of the jobs by their names."""
    done = dcam_dist("submit", *arguments)
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^(\w+): job (\d+)", done.stdout, re.MULTILINE))


def job(number):
    """What Slurm knows of a job; of an array, of its first task."""
    told = slurm_says("scontrol", "-o", "show", "job", number).splitlines()[0]
    return dict(part.split("=", 1) for part in told.split() if "=" in part)


def wait_until(condition, seconds=180, what=""):
    deadline = time.monotonic() + seconds
    while not (seen := condition()):
        assert time.monotonic() < deadline, what or condition
        time.sleep(0.2)
    return seen


def ended(number, folder, seconds=240):
    """Wait for a job's end; its state."""

    def state():
        now = job(number)["JobState"]
        return now if now in NO_MORE else None

    return wait_until(state, seconds, lambda: said(number, folder))


def said(number, folder):
    """The log of a job."""
    return "\n".join(path.read_text() for path in sorted((folder / "jobs").glob(f"*-{number}*.log")))


def events(number, folder):
    """What a job has noted of itself: started, requeued, ended."""
    path = folder / "jobs" / f"{number}.events"
    return [line.split(" ", 1)[1] for line in path.read_text().splitlines()] if path.exists() else []


def epochs_done(run):
    path = run / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0
