"""Which crew the caller wants."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dcam_dist.config.site import load_site
from dcam_dist.errors import UsageError
from dcam_dist.ingest.crews.crew import CrewOf
from dcam_dist.ingest.crews.running import check_address, running_crew
from dcam_dist.ingest.crews.slurm import require_slurm, slurm_crew, workers_of_site


def choose_crew(
    scheduler: str | None, slurm: Path | str | None, cohort: Path, sources: Sequence[Path]
) -> CrewOf | None:
    """The crew of a running cluster or of Slurm jobs; ``None`` for processes of this machine.

    Args:
        scheduler: Address of a running Dask scheduler.
        slurm: A site file.
        cohort: The store.
        sources: Files and folders of the scans.

    Raises:
        UsageError: When both are given, or the address or the site file is malformed or has no workers.
        EnvironmentFault: When Slurm or dask-jobqueue is missing.
    """
    if scheduler and slurm:
        raise UsageError("--scheduler and --slurm exclude each other: a running cluster, or jobs of its own")
    seen = tuple(source.absolute() for source in sources)
    if slurm:
        site = load_site(Path(slurm))
        workers_of_site(site)
        require_slurm()
        return partial(slurm_crew, site, cohort.absolute(), seen)
    if scheduler is None:
        return None
    check_address(scheduler)
    return partial(running_crew, scheduler, cohort.absolute(), seen)
