"""The site file of ``ingest --slurm``: how Slurm jobs that hold one worker each are asked for."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from dcam_dist.config.loading import first_problem, read_yaml
from dcam_dist.config.schema import Positive, Section
from dcam_dist.errors import UsageError

Word = Annotated[str, Field(pattern=r"^[^\s]+$")]
"""Goes into a shell command as it is."""
Line = Annotated[str, Field(pattern=r"^[^\n]+$")]


class SlurmSite(Section):
    """One cluster's way of running workers: one core and one worker process a job."""

    jobs: Positive
    """Jobs, and so workers, at the same time."""
    memory_gb: Annotated[float, Field(ge=1)] = 4.0
    """Memory of a job; a worker that comes close to it is ended, and its case tried again, then named."""
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$")] = "04:00:00"
    """Longest time of a job; jobs that end before all cases are done are replaced. Quote it in YAML."""
    partition: Word | None = None
    account: Word | None = None
    interface: Word
    """Network interface by which compute nodes and this one reach each other (``ip -brief address``)."""
    directives: tuple[Line, ...] = ()
    """Further ``#SBATCH`` options, e.g. ``--qos=short``."""
    prologue: tuple[Line, ...] = ()
    """Shell lines before the worker starts, e.g. ``module load …``."""
    python: Word | None = None
    """Interpreter on the compute nodes, with this same environment; null: the one that runs this command."""
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


def load_slurm_site(path: Path) -> SlurmSite:
    """Read a site file.

    Raises:
        UsageError: A missing or malformed file, an unknown or missing key, or a value out of range.
    """
    try:
        return SlurmSite.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_problem(error, SlurmSite)}") from None
