"""A site file: how one cluster is asked for jobs. ``submit`` reads it, ``ingest --slurm`` its section ``workers``."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from dcam_dist.config.loading import first_problem, read_yaml
from dcam_dist.config.schema import Positive, Section
from dcam_dist.errors import UsageError

Word = Annotated[str, Field(pattern=r"^[^\s'\"\\]+$")]
"""Goes into a shell command as it is."""
Words = Annotated[str, Field(pattern=r"^[^\n'\"\\]+$")]
"""Separated by spaces; none of them holds one."""
Line = Annotated[str, Field(pattern=r"^[^\n]+$")]
Walltime = Annotated[str, Field(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")]
"""``HH:MM:SS`` or ``D-HH:MM:SS``. Quote it in YAML, which would read ``24:00:00`` as a number."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Resources(Section):
    """What a job of one kind asks for on each of its nodes."""

    partition: Word | None = None
    """Partition (Slurm) or queue (PBS, LSF); null: the site's default."""
    gpus: Annotated[int, Field(ge=0)] = 0
    ranks: Positive = 1
    """Processes of a training on each node without GPUs; with them it is one for each."""
    cores: Positive = 4
    """CPU cores, of all processes of a node together."""
    memory_gb: Positive | None = None
    """Main memory; null: what the site gives."""
    time: Walltime = "24:00:00"
    directives: tuple[Line, ...] = ()
    """Further options of the scheduler, such as ``--qos=short``."""


class WorkerJobs(Section):
    """Jobs that hold one worker of a Dask cluster each, one core, for ``ingest --slurm``."""

    jobs: Positive
    """Jobs, and so workers, at the same time."""
    memory_gb: Annotated[float, Field(ge=1)] = 4.0
    """Memory of a job; a worker that comes close to it is ended, and its case tried again, then named."""
    time: Walltime = "04:00:00"
    """Longest time of a job; jobs that end before all cases are done are replaced."""
    partition: Word | None = None
    interface: Word
    """Network interface by which compute nodes and this one reach each other (``ip -brief address``)."""
    directives: tuple[Line, ...] = ()
    """Further ``#SBATCH`` options, e.g. ``--qos=short``."""
    scratch: Word = "/tmp"  # noqa: S108 - on the compute node, where Dask makes a folder of its own
    """Node-local folder of Dask; nothing of a scan is written there."""
    logs: Path
    """Folder on a shared file system for the jobs' logs and, while the ingest runs, its TLS key; owner only."""

    @field_validator("logs")
    @classmethod
    def _absolute(cls, logs: Path) -> Path:
        if not logs.is_absolute() or any(character.isspace() for character in str(logs)):
            raise ValueError("logs is an absolute path without spaces")
        return logs


class Site(Section):
    """One cluster."""

    scheduler: Literal["slurm", "pbs", "lsf"] = "slurm"
    account: Word | None = None
    train: Resources = Resources(gpus=1, cores=8)
    """Of each node of a training; evaluation and maps get one of its nodes with one GPU."""
    ingest: Resources = Resources(cores=16, time="08:00:00")
    gpu_request: Words = "--gpus-per-node={gpus}"
    """How Slurm is asked for GPUs here; some sites want ``--gres=gpu:{gpus}``."""
    launcher_cmd: Words = "srun --ntasks-per-node=1 --kill-on-bad-exit=0"
    """Starts one command on each node of the job."""
    container: Words | None = None
    """Goes before the interpreter, e.g. ``apptainer exec --nv /shared/dcam.sif``."""
    python: Word | None = None
    """Interpreter in the jobs; null: the one that runs this command, or ``python`` of the container."""
    hostname_suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]*$")] = ""
    """Appended to the name of the first node, where the ranks meet: at JSC ``i`` names a node's InfiniBand address."""
    interface: Word | None = None
    """Network interface of gloo and NCCL; null: the one that leads to the first node."""
    prologue: tuple[Line, ...] = ()
    """Shell lines before the work starts, e.g. ``module load …``."""
    environment: dict[Name, Line] = Field(default_factory=dict)
    settings: tuple[Line, ...] = ()
    """Settings of every training here, as ``section.key=value``, e.g. ``data.stage=$TMPDIR``: each node expands it."""
    leave_seconds: Positive = 300
    """A job is told to save and leave so long before its time is over."""
    requeues: Annotated[int, Field(ge=0)] = 20
    """How often a job that left with exit code 75 is put back into the queue."""
    workers: WorkerJobs | None = None

    @property
    def interpreter(self) -> str:
        """Words that start Python in a job."""
        python = self.python or ("python" if self.container else sys.executable)
        return f"{self.container} {python}" if self.container else python

    @field_validator("gpu_request")
    @classmethod
    def _takes_a_number(cls, request: str) -> str:
        try:
            taken = request.format(gpus=4) != request
        except (KeyError, IndexError, ValueError):
            taken = False
        if not taken:
            raise ValueError("needs {gpus} where their number goes, and no other braces")
        return request


def load_site(path: Path | None) -> Site:
    """Read a site file; without one, a Slurm cluster whose defaults suffice.

    Raises:
        UsageError: A missing or malformed file, an unknown or missing key, or a value out of range.
    """
    if path is None:
        return Site()
    try:
        return Site.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_problem(error, Site)}") from None


def check_walltime(text: str) -> None:
    """Refuse what is no time of a job.

    Raises:
        UsageError: It is not ``HH:MM:SS`` or ``D-HH:MM:SS``.
    """
    try:
        TypeAdapter(Walltime).validate_python(text)
    except ValidationError:
        raise UsageError(f"--time {text}: write HH:MM:SS or D-HH:MM:SS") from None


def seconds_of(walltime: str) -> int:
    """Seconds of ``HH:MM:SS`` or ``D-HH:MM:SS``."""
    days, _, clock = walltime.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
