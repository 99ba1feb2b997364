"""``ingest``: scans in any of the supported forms into one cohort."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dcam_dist.cohort import close_cohort, seal_cohort
from dcam_dist.config import Config
from dcam_dist.ingest.begin import Named, begin
from dcam_dist.ingest.call import IngestCall
from dcam_dist.ingest.case import CaseJob, ingest_case, source_fingerprint
from dcam_dist.ingest.crews.choice import choose_crew
from dcam_dist.ingest.crews.crew import CrewOf
from dcam_dist.ingest.fanout import run_cases
from dcam_dist.ingest.identity import private_path
from dcam_dist.ingest.keep import refuse_unjudged, remove_others
from dcam_dist.ingest.lock import only_writer
from dcam_dist.ingest.one_case import private_umask
from dcam_dist.ingest.quality import write_quality_report
from dcam_dist.ingest.search import Looked
from dcam_dist.ingest.sources import find_scans
from dcam_dist.types import CaseRecord, QuarantineEntry

Progress = Callable[[int, int, int], None]
"""Called at the start and after each case with the cases done, the cases in all, and those set aside."""


@dataclass(frozen=True)
class IngestSummary:
    """What became of the scans.

    Attributes:
        cohort: The store.
        accepted: Cases in the cohort.
        quarantined: Cases set aside, by id.
        private_file: Key and mapping of the pseudonyms; never share it.
        strict: Whether a case set aside counts as a failure.
    """

    cohort: Path
    accepted: int
    quarantined: tuple[QuarantineEntry, ...]
    private_file: Path
    strict: bool = False

    @property
    def exit_code(self) -> int:
        """0, or 3 when nothing was accepted or, if strict, anything was set aside."""
        return 3 if self.accepted == 0 or (self.strict and self.quarantined) else 0


def ingest(
    sources: Sequence[Path | str],
    out: Path | str,
    *,
    config: Config | None = None,
    hash_ids: bool = False,
    strict: bool = False,
    assume_hu: bool = False,
    scheduler: str | None = None,
    slurm: Path | str | None = None,
    progress: Progress | None = None,
    looked: Looked | None = None,
) -> IngestSummary:
    """Bring scans into a cohort, each with its lungs found and resampled to the training grid.

    Called again with the same sources it goes on where it was interrupted, and makes anew only what has changed.
    Processes are started; a script that calls this needs the ``if __name__ == "__main__":`` guard.

    Args:
        sources: Folder trees with DICOM or image files, single files, or ``cases.csv`` tables (``case_table``).
            Columns that it does not know are kept as covariates, so they must not name a patient.
        out: The cohort (a Zarr store). A private file with the key of the pseudonyms is written beside it.
        config: Grid, labels, seed, and the section ``ingest``.
        hash_ids: Replace given case ids by keyed hashes.
        strict: Count every case set aside as a failure in the summary's ``exit_code``.
        assume_hu: Take DICOM without rescale tags for HU.
        scheduler: Address of a running Dask scheduler whose workers do the work; it is left running.
        slurm: Site file by which Slurm jobs are asked for that do the work (``config.site``).
        progress: Called at the start and after each case.
        looked: Called with the files found and the files read, while scans are searched for.

    Returns:
        Counts and the cases set aside.

    Raises:
        UsageError: A source that does not exist, an ``out`` that holds something else, or stored cases whose files
            are missing now or that the sources do not give.
        DataError: No scan found, a malformed table, an id that is no folder name, or one patient in both splits.
        EnvironmentFault: The file system fails, or there are no workers to do the work.
    """
    config, cohort, paths = config or Config(), Path(out), [Path(source) for source in sources]
    crew_of = choose_crew(scheduler, slurm, cohort, paths)
    scans = find_scans(paths, config.labels.names, looked)
    call = IngestCall.of(sources, config, hash_ids=hash_ids, assume_hu=assume_hu)
    with private_umask(), only_writer(cohort):
        named, jobs = begin(cohort, scans, call)
        accepted, quarantined = run_jobs(
            cohort, named, jobs, config, assume_hu=assume_hu, crew_of=crew_of, progress=progress
        )
        fingerprint = partial(source_fingerprint, config=config, assume_hu=assume_hu)
        refuse_unjudged(cohort, quarantined, jobs, fingerprint)
        remove_others(cohort, {record.case_id for record in accepted})
        finish(cohort, accepted, quarantined)
    return IngestSummary(cohort, len(accepted), in_order(quarantined), private_path(cohort), strict)


def in_order(quarantined: Sequence[QuarantineEntry]) -> tuple[QuarantineEntry, ...]:
    """Cases set aside, by id: which worker was first must not show."""
    return tuple(sorted(quarantined, key=lambda entry: entry.case_id))


def finish(cohort: Path, accepted: Sequence[CaseRecord], quarantined: Sequence[QuarantineEntry]) -> None:
    """Write the tables and the quality report, and seal the cohort over all that was written."""
    close_cohort(cohort, accepted, quarantined)
    write_quality_report(cohort)
    seal_cohort(cohort)


def run_jobs(
    cohort: Path,
    named: Named,
    jobs: Sequence[CaseJob],
    config: Config,
    *,
    assume_hu: bool,
    crew_of: CrewOf | None,
    progress: Progress | None,
) -> tuple[list[CaseRecord], list[QuarantineEntry]]:
    """Do the jobs, and count the scans with a fault as set aside."""
    accepted: list[CaseRecord] = []
    faults = ((case_id, scan.fault, scan.also) for case_id, scan in named if scan.fault is not None)
    quarantined = [
        QuarantineEntry(case_id, str(reason), detail, tuple(map(str, also)))
        for case_id, (reason, detail), also in faults
    ]
    task = partial(_task, cohort.absolute(), config, assume_hu)
    if progress is not None:
        progress(len(quarantined), len(named), len(quarantined))
    for outcome in run_cases(task, jobs, lambda job: job.case_id, config.ingest, crew_of):
        if isinstance(outcome, CaseRecord):
            accepted.append(outcome)
        else:
            quarantined.append(outcome)
        if progress is not None:
            progress(len(accepted) + len(quarantined), len(named), len(quarantined))
    return accepted, quarantined


def _task(cohort: Path, config: Config, assume_hu: bool, job: CaseJob) -> CaseRecord:
    return ingest_case(cohort, job, config, assume_hu=assume_hu)
