"""What to do next with a run."""

from dcam_dist.hpc.run_files import RunFiles
from dcam_dist.hpc.run_state import State, stranded, training_job

_AGAIN = "start the same command again, or submit it: it goes on from the newest checkpoint"


def next_step(run: str, state: State, files: RunFiles) -> str:
    """One sentence."""
    job = training_job(files)
    log = f" and the log {job.job.log}" if job is not None else ""
    ways = {
        "prepared": _begin(run, files),
        "waiting": _wait(files),
        "starting": "wait; the first phase begins when the ranks have met and, with data.stage, the cohort is copied",
        "training": "nothing; it is leaving" if files.stop else f"nothing; to have it save and leave: touch {run}/stop",
        "silent": _look(files),
        "stopped": _AGAIN,
        "failed": f"read the reason{log}, mend what it names; then {_AGAIN}",
        "finished": _look_at(run, files),
        "unknown": f"it has no progress.json, so look yourself whether it is trained at this moment; if not, {_AGAIN}",
    }
    return ways[state]


def _begin(run: str, files: RunFiles) -> str:
    if files.config is None:
        return f"start a training with output={run}, or submit it"
    return f"start it: dcam-dist train --config {run}/config.yaml"


def _wait(files: RunFiles) -> str:
    job = training_job(files)
    name = job.job.job_id if job is not None else ""
    if failed := stranded(files.jobs).get(name):
        log = next(other.job.log for other in files.jobs if other.job.job_id == failed)
        return f"see why job {failed} failed ({log}), cancel those that wait for it (scancel), and submit again"
    return f"nothing; job {name} starts when its turn comes"


def _look_at(run: str, files: RunFiles) -> str:
    if not files.scored:
        return f"dcam-dist evaluate {run}"
    if not files.mapped:
        return f"dcam-dist maps {run}"
    return f"open {run}/report.html in a browser" if files.reported else f"dcam-dist report {run}"


def _look(files: RunFiles) -> str:
    job, live = training_job(files), files.live
    if job is not None and job.now.state == "running":
        name = job.job.job_id
        return f"see whether it still runs (squeue -j {name}) and what it said last ({job.job.log}); if not, {_AGAIN}"
    if live is not None and live.job is not None:
        return f"see whether it still runs (squeue -j {live.job}); if not, {_AGAIN}"
    where = "" if live is None else f" (process {live.pid} on {live.host})"
    return f"see whether it still runs{where}; if not, {_AGAIN}"
