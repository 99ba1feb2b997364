"""Mend a cohort: ingest its damaged cases again, delete what is foreign, write its tables anew."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcam_dist.cohort import CohortDescription, Fault, ValidationReport, create_cohort, layout, stored_record
from dcam_dist.cohort.derived import is_derived, settle_label_list
from dcam_dist.cohort.durable import remove
from dcam_dist.cohort.root import restore_groups
from dcam_dist.cohort.store import read_case_table, read_quarantine, stored_id
from dcam_dist.config import Config
from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest.begin import Named, case_jobs, name_scans
from dcam_dist.ingest.call import IngestCall
from dcam_dist.ingest.case import CaseJob
from dcam_dist.ingest.identity import PrivateIdentity, load_identity, private_path
from dcam_dist.ingest.lock import only_writer
from dcam_dist.ingest.one_case import private_umask
from dcam_dist.ingest.run import Progress, finish, run_jobs
from dcam_dist.ingest.sources import find_scans
from dcam_dist.types import CaseRecord, QuarantineEntry


@dataclass(frozen=True)
class RepairSummary:
    """What a repair did.

    Attributes:
        ingested: Cases that were ingested again.
        changed: Those of them that are not what they were, because their files are not.
        deleted: Foreign files and folders, relative to the cohort.
    """

    ingested: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]


@dataclass(frozen=True)
class _Tables:
    """What can still be relied on.

    Attributes:
        kept: Records of the whole cases.
        listed: Records of all cases, as the table has them; ``None`` when it is damaged.
        aside: Cases set aside; ``None`` when their table is damaged.
    """

    kept: Mapping[str, CaseRecord]
    listed: Mapping[str, CaseRecord] | None
    aside: tuple[QuarantineEntry, ...] | None


def repair(
    report: ValidationReport, sources: Sequence[Path | str] = (), *, progress: Progress | None = None
) -> RepairSummary:
    """Mend everything that a validation of the whole cohort found.

    Only damaged cases are read again, by the settings of the ingest that made them; whole ones stay as they are.
    Where the scans are still the same, the cohort is afterwards the same to the byte. Where a damaged case cannot be
    made again, nothing is deleted. A damaged case table is made from the cases' own records; a damaged table of cases
    set aside by reading again all scans that are not stored.

    Args:
        report: What ``validate`` said of all cases.
        sources: Where the scans are now; empty: where they were at ingest.
        progress: Called after each case that is ingested again.

    Raises:
        DataError: When the scans of a damaged case are away or can no longer be used, or the private file is away.
    """
    if not report.complete:
        raise ValueError("a repair needs a report on all cases")
    cohort, tables = report.cohort, _tables(report)
    secret, call = _how_it_was_made(cohort)
    if sources:
        call = IngestCall.of(sources, call.config, hash_ids=call.hash_ids, assume_hu=call.assume_hu)
    with private_umask(), only_writer(cohort):
        redone, aside = _ingest_again(report, tables, secret, call, progress)
        kept = {**tables.kept, **redone}
        strays = _strays(cohort, set(report.damaged_cases) - redone.keys(), kept)
        deleted = _delete_foreign(report, strays, kept)
        finish(cohort, list(kept.values()), [*(tables.aside or ()), *aside])
    before = tables.listed or {}
    changed = sorted(case_id for case_id, record in redone.items() if before.get(case_id, record) != record)
    return RepairSummary(tuple(sorted(redone)), tuple(changed), deleted)


def _tables(report: ValidationReport) -> _Tables:
    wrong = _wrong_at_root(report)
    sealed = not wrong & {layout.MANIFEST, layout.COMMIT}
    whole = set(report.cases) - set(report.damaged_cases)
    records = {case_id: stored_record(report.cohort, case_id) for case_id in sorted(whole)}
    listed = read_case_table(report.cohort) if sealed and layout.CASE_TABLE not in wrong else None
    return _Tables(
        kept={case_id: record for case_id, record in records.items() if record is not None},
        listed=None if listed is None else {record.case_id: record for record in listed},
        aside=read_quarantine(report.cohort) if sealed and layout.QUARANTINE_TABLE not in wrong else None,
    )


def _how_it_was_made(cohort: Path) -> tuple[PrivateIdentity, IngestCall]:
    where = private_path(cohort)
    if not where.is_file():
        raise DataError(f"{where}: missing, and a repair needs it: bring it back, or ingest again to another --out")
    secret = load_identity(where)
    return secret, IngestCall.from_json(secret.call or {})


def _ingest_again(
    report: ValidationReport,
    tables: _Tables,
    secret: PrivateIdentity,
    call: IngestCall,
    progress: Progress | None,
) -> tuple[dict[str, CaseRecord], list[QuarantineEntry]]:
    cohort, damaged = report.cohort, set(report.damaged_cases)
    named = _scans(cohort, call, secret) if damaged or tables.aside is None else ()
    wanted = damaged if tables.aside is not None else {case_id for case_id, _ in named} - tables.kept.keys()
    jobs = [_as_listed(job, tables) for job in case_jobs(named, secret, call.config) if job.case_id in wanted]
    again = {job.case_id for job in jobs}
    strays = _strays(cohort, damaged - again, tables.kept.keys() | again)
    _refuse_lost(cohort, damaged - again - strays, "its scan is not where it was")
    _restore_root(report, call.config)
    chosen = tuple((case_id, scan) for case_id, scan in named if case_id in wanted)
    accepted, aside = run_jobs(
        cohort, chosen, jobs, call.config, assume_hu=call.assume_hu, crew_of=None, progress=progress
    )
    for entry in aside:
        held = {folder for folder in strays if stored_id(cohort / layout.CASES / folder) == entry.case_id}
        _refuse_lost(cohort, (damaged & {entry.case_id}) | held, f"its scan would be set aside now ({entry.reason})")
    return {record.case_id: record for record in accepted}, aside


def _strays(cohort: Path, damaged: Collection[str], kept: Collection[str]) -> set[str]:
    """Folders under a name that no scan has, of cases that the store has in their own place, or will have."""
    held = {folder: stored_id(cohort / layout.CASES / folder) for folder in damaged}
    return {folder for folder, case_id in held.items() if case_id != folder and case_id in kept}


def _scans(cohort: Path, call: IngestCall, secret: PrivateIdentity) -> Named:
    """All scans of the sources, for a patient's split depends on all; only their headers are read."""
    try:
        found = find_scans(call.sources, call.config.labels.names)
    except (UsageError, DataError) as error:
        raise DataError(f"{cohort}: cannot be mended, its sources are away: {error}; {_remedy(cohort)}") from None
    return name_scans(found, secret, hash_ids=call.hash_ids)


def _as_listed(job: CaseJob, tables: _Tables) -> CaseJob:
    """Scans that came or went since must not move a case, and with it its patient, to the other split."""
    listed = (tables.listed or {}).get(job.case_id)
    return job if listed is None else replace(job, split=listed.split)


def _refuse_lost(cohort: Path, lost: Collection[str], why: str) -> None:
    if lost:
        first, others = min(lost), f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise DataError(f"{cohort}: case {first}{others} cannot be mended: {why}; {_remedy(cohort)}")


def _remedy(cohort: Path) -> str:
    return f"nothing was deleted; bring it back, or say where it is: dcam-dist validate {cohort} --repair SOURCE..."


def _restore_root(report: ValidationReport, config: Config) -> None:
    description = CohortDescription(config.grid, config.labels.names)
    if _wrong_at_root(report) & {*layout.ROOT_FILES, layout.CASES}:
        restore_groups(report.cohort, description)
    create_cohort(report.cohort, description)  # puts back what an interrupted replacement left outside


def _delete_foreign(report: ValidationReport, strays: Collection[str], kept: Collection[str]) -> tuple[str, ...]:
    own = {f"{layout.CASES}/{case_id}" for case_id in kept}
    foreign = [found.path for found in report.findings if found.fault is Fault.FOREIGN and found.path not in own]
    deleted = []
    for name in (*foreign, *(f"{layout.CASES}/{folder}" for folder in sorted(strays))):
        if os.path.lexists(report.cohort / name):
            remove(report.cohort / name)
            deleted.append(name)
    for case_id in {str(found.case_id) for found in report.findings if is_derived(found)} & set(kept):
        settle_label_list(report.cohort, case_id)
    return tuple(deleted)


def _wrong_at_root(report: ValidationReport) -> set[str]:
    return {found.path for found in report.findings if found.case_id is None and found.fault is not Fault.FOREIGN}
