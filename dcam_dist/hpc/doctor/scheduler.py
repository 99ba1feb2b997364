"""The batch system: which, its version, whether this is a job of it, and whether it can be asked from here."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import time
from types import MappingProxyType

from dcam_dist.hpc.doctor.command import ask, is_there
from dcam_dist.hpc.doctor.line import Line, ok, warn
from dcam_dist.hpc.doctor.machine import Machine

NAME = "scheduler"
SOON_S = 600.0
REQUEUE = (
    "the batch script outside the container must ask: at exit code 75 of a training, scontrol requeue $SLURM_JOB_ID"
)


@dataclass(frozen=True)
class System:
    """How one batch system is known.

    Attributes:
        job: Variable with a job's id.
        submit: Command that submits.
        version: Command that tells the version.
    """

    job: str
    submit: str
    version: tuple[str, ...]


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "Slurm": System("SLURM_JOB_ID", "sbatch", ("sbatch", "--version")),
        "PBS": System("PBS_JOBID", "qsub", ("qsub", "--version")),
        "LSF": System("LSB_JOBID", "bsub", ("bsub", "-V")),
    }
)
SLURM_COMMANDS = ("sbatch", "srun", "scontrol")


@dataclass(frozen=True)
class Scheduler:
    """What is known of it.

    Attributes:
        name: A key of ``SYSTEMS``; empty: none.
        version: Its own word; empty: not told.
        trouble: Why it cannot be asked; empty: it can.
        job: Id of the job that this is in; empty: none.
        left_s: Seconds until the job must end; ``None``: not known.
        missing: Commands of Slurm that are not there.
        container: Kind of container that this is in; empty: none.
    """

    name: str = ""
    version: str = ""
    trouble: str = ""
    job: str = ""
    left_s: float | None = None
    missing: tuple[str, ...] = ()
    container: str = ""


def scheduler_lines(machine: Machine) -> list[Line]:
    """Look for one and ask it."""
    return judge_scheduler(find_scheduler(machine))


def find_scheduler(machine: Machine) -> Scheduler:
    """By a job's variables, else by the commands that are there."""
    name, container = name_of(machine), container_of(machine)
    if not name:
        return Scheduler(container=container)
    system, variables = SYSTEMS[name], machine.variables
    answer = ask(system.version, variables)
    job = variables.get(system.job, "")
    return Scheduler(
        name=name,
        version=_version(f"{answer.out} {answer.err}") if answer is not None and not answer.trouble else "",
        trouble=answer.trouble if answer is not None else "",
        job=job,
        left_s=_left_s(machine, job) if name == "Slurm" and job else None,
        missing=tuple(one for one in SLURM_COMMANDS if name == "Slurm" and not is_there(one, variables)),
        container=container,
    )


def name_of(machine: Machine) -> str:
    """A key of ``SYSTEMS``, or empty."""
    by_job = [name for name, system in SYSTEMS.items() if machine.variables.get(system.job)]
    by_command = [name for name, system in SYSTEMS.items() if is_there(system.submit, machine.variables)]
    return next(iter(by_job + by_command), "")


def container_of(machine: Machine) -> str:
    """The kind of container that this process is in, by the marks that it leaves; empty: none that we know."""
    variables = machine.variables
    if "APPTAINER_CONTAINER" in variables or "SINGULARITY_CONTAINER" in variables:
        return "Apptainer"
    if (machine.root / "run/.containerenv").exists():
        return "Podman"
    return "Docker" if (machine.root / ".dockerenv").exists() else ""


def judge_scheduler(facts: Scheduler) -> list[Line]:
    """What can be done with it from here."""
    where = f", in a container of {facts.container}" if facts.container else ""
    if not facts.name:
        return [ok(NAME, f"none{where}")]
    job = f", in job {facts.job}" if facts.job else ", not in a job"
    left = f", {spoken_time(facts.left_s)} left" if facts.left_s is not None else ""
    known = " ".join(filter(None, (facts.name, facts.version)))
    lines = [_answering(facts, f"{known}{job}{left}{where}")]
    if facts.left_s is not None and facts.left_s < SOON_S:
        lines.append(
            warn(NAME, f"job {facts.job} ends in {spoken_time(facts.left_s)}", "ask for more time, or submit anew")
        )
    if facts.name == "Slurm":
        lines += _commands(facts)
    elif facts.job or not facts.container:
        remedy = "submit with a script of your own; exit code 75 of a training means: submit it again"
        lines.append(warn(NAME, f"{facts.name}: job scripts have not been tried on a real site", remedy))
    return lines


def spoken_time(seconds: float) -> str:
    """``2 h 05 min``."""
    minutes = max(0, int(seconds // 60))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def parse_left(text: str) -> float | None:
    """Seconds of what ``squeue -o %L`` prints: ``1-02:03:04``, ``02:03:04``, ``03:04``; else ``None``."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _answering(facts: Scheduler, found: str) -> Line:
    if facts.trouble:
        remedy = "is this a machine of the cluster? ask the administrators, or work without a scheduler"
        return warn(NAME, f"{found}; it does not answer ({facts.trouble})", remedy)
    return ok(NAME, found)


def _commands(facts: Scheduler) -> list[Line]:
    if facts.job and facts.container and "scontrol" in facts.missing:
        return [warn("requeue", f"cannot be asked for from inside {facts.container}: no scontrol", REQUEUE)]
    if facts.missing:
        remedy = "load Slurm's module, or add its commands to PATH"
        return [warn("Slurm commands", f"missing: {', '.join(facts.missing)}", remedy)]
    return [ok("Slurm commands", ", ".join(SLURM_COMMANDS))]


def _left_s(machine: Machine, job: str) -> float | None:
    with suppress(ValueError):
        return float(machine.variables.get("SLURM_JOB_END_TIME", "")) - time()
    answer = ask(["squeue", "-h", "-j", job, "-o", "%L"], machine.variables)
    return parse_left(answer.out) if answer is not None and not answer.trouble else None


def _version(said: str) -> str:
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else ""
