"""The beginning of an ingest, before the first case is read: ids, splits, the cohort's root and the private file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dcam_dist.cohort import CohortDescription, create_cohort, join_cohort
from dcam_dist.config import Config
from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest.call import IngestCall
from dcam_dist.ingest.case import CaseJob
from dcam_dist.ingest.identity import PrivateIdentity, load_identity, private_path, save_identity
from dcam_dist.ingest.keep import refuse_to_drop, source_path
from dcam_dist.ingest.scan_source import ScanSource
from dcam_dist.ingest.split import assign_splits
from dcam_dist.types import Split

Named = tuple[tuple[str, ScanSource], ...]


def begin(cohort: Path, scans: Sequence[ScanSource], call: IngestCall) -> tuple[Named, list[CaseJob]]:
    """Begin a cohort, or accept it as it is; to be called by its only writer.

    Args:
        cohort: The store.
        scans: What the sources give.
        call: How ingest was called; kept in the private file.

    Returns:
        All scans with their case ids, and what is to be done.

    Raises:
        UsageError: An ``out`` that holds something else, or stored cases that the sources do not give.
        DataError: A malformed private file, an id that is no folder name, or one patient in both splits.
    """
    secret, named, jobs = _prepared(cohort, scans, call)
    create_cohort(cohort, _description(call.config))
    save_identity(private_path(cohort), _saved(secret, named, call))
    return named, jobs


def join(cohort: Path, scans: Sequence[ScanSource], call: IngestCall) -> tuple[Named, list[CaseJob]]:
    """As ``begin``, for a cohort that other parts of the same ingest are writing; to be called by one at a time.

    Raises:
        UsageError: As ``begin``, or when the other parts have other sources or settings.
        DataError: As ``begin``.
    """
    secret, named, jobs = _prepared(cohort, scans, call)
    stored, wanted = secret.call or {}, call.to_json()
    if other := [name for name, value in wanted.items() if stored.get(name) != value]:
        raise UsageError(
            f"{cohort}: parts are writing it that were called with other {' and '.join(other)}; "
            "give all parts the same sources and settings"
        )
    join_cohort(cohort, _description(call.config))
    if (saved := _saved(secret, named, call)) != secret:  # scans that came since
        save_identity(private_path(cohort), saved)
    return named, jobs


def _prepared(
    cohort: Path, scans: Sequence[ScanSource], call: IngestCall
) -> tuple[PrivateIdentity, Named, list[CaseJob]]:
    secret = load_identity(private_path(cohort))
    named = name_scans(scans, secret, hash_ids=call.hash_ids)
    jobs = case_jobs(named, secret, call.config)
    refuse_to_drop(cohort, dict(named), secret)
    return secret, named, jobs


def _description(config: Config) -> CohortDescription:
    return CohortDescription(config.grid, config.labels.names)


def _saved(secret: PrivateIdentity, named: Named, call: IngestCall) -> PrivateIdentity:
    return replace(with_origins(secret, named), call=call.to_json())


def name_scans(scans: Sequence[ScanSource], secret: PrivateIdentity, *, hash_ids: bool) -> Named:
    """Give each scan its case id; in the order of the ids.

    Raises:
        DataError: When two scans have one id.
    """
    named: dict[str, ScanSource] = {}
    for scan in scans:
        case_id = secret.case_id(scan.given_id, scan.identity, hash_ids=hash_ids, where=scan.given_at)
        if named.setdefault(case_id, scan) is not scan:
            raise DataError(f"case_id {case_id!r} names two scans; give each case an id of its own")
    return tuple(sorted(named.items()))


def case_jobs(named: Named, secret: PrivateIdentity, config: Config) -> list[CaseJob]:
    """What the workers need to know of each scan without a fault, its split among it.

    Raises:
        DataError: When a table puts one patient in both splits.
    """
    usable = [(case_id, scan) for case_id, scan in named if scan.fault is None]
    splits = assign_splits(
        [scan.patient for _, scan in usable],
        [scan.split for _, scan in usable],
        [case_id for case_id, _ in usable],
        test_fraction=config.ingest.test_fraction,
        seed=config.seed,
    )
    return [case_job(case_id, scan, split, secret) for (case_id, scan), split in zip(usable, splits, strict=True)]


def case_job(case_id: str, scan: ScanSource, split: Split, secret: PrivateIdentity) -> CaseJob:
    """What whoever makes a case needs to know of its scan, which has no fault."""
    return CaseJob(
        case_id=case_id,
        patient_key=secret.pseudonym(scan.patient),
        split=split,
        label=scan.label,
        candidates=tuple(tuple(file.absolute() for file in files) for files in scan.candidates),
        kind=scan.kind,
        lung_mask=scan.lung_mask and scan.lung_mask.absolute(),
        covariates=scan.covariates,
        flags=scan.flags,
    )


def with_origins(secret: PrivateIdentity, named: Named) -> PrivateIdentity:
    """The private file's content with where each scan came from."""
    origins = {
        case_id: {"source": source_path(scan), "case_id": scan.given_id or "", "patient": scan.patient}
        for case_id, scan in named
    }
    return replace(secret, cases={**secret.cases, **origins})
