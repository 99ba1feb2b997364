"""Hand jobs to Slurm, each after the one before."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dcam_dist.config.site import Site
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.hpc.job import BatchJob
from dcam_dist.hpc.script import render
from dcam_dist.runs.jobs import JobRecord, write_job

ASK_S = 60.0
"""Longest wait for an answer of Slurm."""


def submit_jobs(jobs: Sequence[BatchJob], site: Site) -> list[JobRecord]:
    """Submit all or none of the jobs, and leave a record of each in its folder.

    Args:
        jobs: Each waits until the one before has ended well, and is cancelled when that cannot happen any more.
        site: Of the cluster.

    Returns:
        Their records, in the same order.

    Raises:
        UsageError: The site's scheduler is not Slurm.
        EnvironmentFault: Slurm is not here, or refuses a job; those before it are cancelled then.
    """
    if site.scheduler != "slurm":
        raise UsageError(
            f"{site.scheduler}: only Slurm is submitted to; --dry-run shows the script, hand it in yourself"
        )
    if shutil.which("sbatch") is None:
        raise EnvironmentFault("sbatch is not on this machine; run it on a login node of a Slurm cluster")
    for job in jobs:
        _refuse_impossible(job, render(job, site))
    ids: list[str] = []
    try:
        return [_submit(job, site, ids) for job in jobs]
    except BaseException:
        _take_back(ids, jobs[0].folder)
        raise


def command(job: BatchJob, after: Sequence[str]) -> list[str]:
    """The command that hands in the job's script on its standard input."""
    waits = [f"--dependency=afterok:{':'.join(after)}", "--kill-on-invalid-dep=yes"] if after else []
    return ["sbatch", "--parsable", *waits]


def _submit(job: BatchJob, site: Site, ids: list[str]) -> JobRecord:
    """Submit a job that waits for the last of ``ids``, to which its own is added at once."""
    script, after = render(job, site), tuple(ids[-1:])
    job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # Slurm makes no folder for a log
    job_id = _ask(command(job, after), job, script).split(";")[0]
    ids.append(job_id)
    path = job.folder / f"{job_id}-{job.name}.sh"
    path.write_text(script, encoding="utf-8")
    log = job.folder / f"{job.name}-{job_id}{'_*' if job.tasks else ''}.log"
    record = JobRecord(job_id, job.name, str(path), str(log), after, time.time(), job.tasks)
    write_job(job.folder.parent, record)
    return record


def _refuse_impossible(job: BatchJob, script: str) -> None:
    """What no node can give sbatch takes all the same, and it would wait in the queue for ever.

    While nodes are drained or down ``--test-only`` calls impossible what will be possible; then sbatch may have it.
    """
    try:
        _ask(["sbatch", "--test-only"], job, script)
    except EnvironmentFault as fault:
        if "node configuration is not available" not in str(fault) or not _nodes_are_away(job):
            raise


def _nodes_are_away(job: BatchJob) -> bool:
    partition = [f"--partition={job.partition}"] if job.partition else []
    words = ["sinfo", "--noheader", "--states=down,drain,fail,maint,reserved", "--format=%D", *partition]
    asked = subprocess.run(words, env=_variables(), capture_output=True, text=True, check=False, timeout=ASK_S)
    return any(int(count) for count in asked.stdout.split())


def _take_back(ids: Sequence[str], folder: Path) -> None:
    with suppress(subprocess.TimeoutExpired):  # why it is done is more than that it cannot be
        if ids:
            subprocess.run(["scancel", *ids], check=False, timeout=ASK_S)
    for left in [file for job_id in ids for file in folder.glob(f"{job_id}[-._]*")]:
        left.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        folder.rmdir()
        folder.parent.rmdir()


def _ask(words: Sequence[str], job: BatchJob, script: str) -> str:
    """Slurm's answer to a script.

    Raises:
        EnvironmentFault: It refuses it, or does not answer.
    """
    try:
        asked = subprocess.run(
            words, input=script, env=_variables(), capture_output=True, text=True, check=False, timeout=ASK_S
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"Slurm does not answer within {ASK_S:.0f} s; try again later (sinfo)") from None
    if asked.returncode:
        told = " ".join(line.split("error:")[-1].strip() for line in asked.stderr.splitlines() if "error:" in line)
        raise EnvironmentFault(
            f"Slurm refuses the {job.name} job: {told or asked.stderr.strip()}; look at partition, account, nodes, "
            "gpus, memory and time of the site file (sinfo shows what there is)"
        )
    return asked.stdout.strip()


def _variables(here: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Without those of a job in which this is called: the new one would take itself for that one."""
    own = {"SLURM_CONF", "SLURM_CLUSTERS"}
    return {name: value for name, value in here.items() if name in own or not name.startswith(("SLURM_", "SBATCH_"))}
