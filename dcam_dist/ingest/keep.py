"""What a cohort holds already must not vanish because a source was forgotten or a disk is unmounted."""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from dcam_dist.cohort import open_cohort, stored_record
from dcam_dist.cohort.durable import remove_case
from dcam_dist.cohort.layout import CASE_TABLE, CASES, COMMIT, MANIFEST
from dcam_dist.errors import CaseRejected, DataError, EnvironmentFault, Reason, UsageError
from dcam_dist.ingest.case import CaseJob
from dcam_dist.ingest.identity import PrivateIdentity
from dcam_dist.ingest.scan_source import ScanSource
from dcam_dist.types import CaseRecord, QuarantineEntry


def refuse_to_drop(cohort: Path, scans: Mapping[str, ScanSource], secret: PrivateIdentity) -> None:
    """Days of work must not vanish because one source was forgotten or is away.

    Args:
        cohort: The store, which need not be there yet or be finished.
        scans: What the sources give now, by case id.
        secret: Says where the stored cases came from.

    Raises:
        UsageError: When a stored case's files are missing, or a finished cohort holds cases of other sources.
    """
    stored = stored_ids(cohort)
    refuse_missing(cohort, missing_ids(stored, scans, secret))
    try:
        listed = {case.case_id for case in open_cohort(cohort).cases}
    except UsageError:  # none yet
        return
    except DataError:  # never finished; or it was, and its table cannot be relied on now
        listed = stored if any((cohort / name).exists() for name in (MANIFEST, COMMIT, CASE_TABLE)) else set()
    if dropped := sorted(listed - scans.keys()):
        raise UsageError(
            f"{cohort}: holds {len(dropped)} cases that these sources do not give ({dropped[0]}, …); "
            "name all sources in one call, or choose another --out"
        )


def refuse_missing(cohort: Path, missing: Collection[str]) -> None:
    """Refuse to go on without the files of cases that are stored.

    Args:
        cohort: The store.
        missing: Cases whose files are missing, stored or not.

    Raises:
        UsageError: When one of them is stored; gives their number and the first.
    """
    if lost := sorted(stored_ids(cohort) & set(missing)):
        cases, files = ("1 case is", "its") if len(lost) == 1 else (f"{len(lost)} cases are", "their")
        raise UsageError(
            f"{cohort}: {cases} stored but {files} files are missing now ({lost[0]}{', …' * (len(lost) > 1)}; "
            "is a disk unmounted?); bring them back, or choose another --out"
        )


def refuse_unjudged(
    cohort: Path,
    quarantined: Collection[QuarantineEntry],
    jobs: Collection[CaseJob],
    fingerprint: Callable[[CaseJob], str],
) -> None:
    """Refuse to take out a stored case whose files are away or what they were: the scan is not at fault then.

    Args:
        cohort: The store.
        quarantined: Cases set aside by this call.
        jobs: What was to be done.
        fingerprint: Of a job's files and settings, as stored cases have it.

    Raises:
        UsageError: When the files of a stored case are missing.
        EnvironmentFault: When they are what they were; says why the first could not be looked at.
    """
    refuse_missing(cohort, {entry.case_id for entry in quarantined if entry.reason == Reason.MISSING_FILE})
    job_of, stored = {job.case_id: job for job in jobs}, stored_ids(cohort)
    unjudged = []
    for entry in sorted(quarantined, key=lambda entry: entry.case_id):
        record = stored_record(cohort, entry.case_id) if entry.case_id in stored & job_of.keys() else None
        if record is not None and _unchanged(record, job_of[entry.case_id], fingerprint):
            unjudged.append(entry)
    if unjudged:
        first, others = unjudged[0], f" and {len(unjudged) - 1} more" if len(unjudged) > 1 else ""
        raise EnvironmentFault(
            f"{cohort}: case {first.case_id}{others}: stored, and the scan is unchanged, but it failed now "
            f"({first.reason}: {first.detail}); nothing was removed: mend that and run again"
        )


def _unchanged(record: CaseRecord, job: CaseJob, fingerprint: Callable[[CaseJob], str]) -> bool:
    try:
        return record.provenance.get("source_fingerprint") == fingerprint(job)
    except CaseRejected:
        return False


def remove_others(cohort: Path, accepted: Collection[str]) -> None:
    """Take out what an interrupted call with other sources left, and earlier forms of cases now set aside."""
    for case_id in sorted(stored_ids(cohort) - set(accepted)):
        remove_case(cohort, case_id)


def source_path(scan: ScanSource) -> str:
    """Where a scan came from, as the private file has it."""
    return os.path.abspath(scan.location)  # noqa: PTH100 - keeps links as named


def stored_ids(cohort: Path) -> set[str]:
    """Cases that were written, damaged or not, whether or not the cohort was ever finished."""
    marks = ("zarr.json", COMMIT)
    return {mark.parent.name for name in marks for mark in (cohort / CASES).glob(f"*/{name}")}


def missing_ids(stored: set[str], scans: Mapping[str, ScanSource], secret: PrivateIdentity) -> set[str]:
    """Cases whose files are missing.

    Without an id of its own, a scan whose files are away has another identity: its place tells which it was.
    """
    faulty = {case_id: scan for case_id, scan in scans.items() if scan.fault and scan.fault[0] is Reason.MISSING_FILE}
    places = {source_path(scan) for scan in faulty.values()}
    origins = {case_id: secret.cases.get(case_id, {}).get("source", "") for case_id in stored - scans.keys()}
    unnamed = {id_ for id_, place in origins.items() if place and (place in places or not os.path.lexists(place))}
    return faulty.keys() | unnamed
