"""The public path of a scan: found, named, run as a case; mostly as far as its voxels, sometimes to the end."""

from functools import partial
from pathlib import Path
from random import Random

from fuzz.scratch import Input

from dcam_dist.cohort import CohortDescription, create_cohort
from dcam_dist.config import Config, load_config
from dcam_dist.errors import DcamError
from dcam_dist.ingest.begin import case_jobs, name_scans
from dcam_dist.ingest.case import CaseJob, ingest_case
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.identity import PrivateIdentity
from dcam_dist.ingest.images import read_image
from dcam_dist.ingest.one_case import run_case
from dcam_dist.ingest.scan import hu_digest
from dcam_dist.ingest.sources import find_scans
from dcam_dist.types import CaseRecord, QuarantineEntry

CONFIG = load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1"])
SECRET = PrivateIdentity(bytes(32), {})
SPACING_MM = (10.0, 12.0, 12.0)
"""Of the generated chests: so large that their few voxels of lung pass for lungs."""
WHOLE_SHARE = 0.02
"""Inputs that are ingested to the end, lungs and store among it: it takes twenty times as long."""


def run_scans(made: Input, *, reading: float = 1.0) -> None:
    """Ingest what lies under ``scans``.

    Args:
        made: The input.
        reading: Share of the inputs whose voxels are read.
    """
    chance = Random(made.rng.random())
    whole, read = chance.random() < WHOLE_SHARE, chance.random() < reading
    try:
        scans = find_scans([Path("scans")], CONFIG.labels.names)
        named = name_scans(scans, SECRET, hash_ids=chance.random() < 0.5)
        jobs = case_jobs(named, SECRET, CONFIG)
    except DcamError as error:
        made.outcomes.append(type(error).__name__)
        made.says(str(error))
        return
    for _, scan in named:
        if scan.fault is not None:
            made.outcomes.append(str(scan.fault[0]))
            made.says(scan.fault[1])
    if whole:
        create_cohort(made.folder / "cohort.zarr", CohortDescription(CONFIG.grid, CONFIG.labels.names))
    for job in jobs if whole or read else ():
        _run_job(made, job, whole=whole)


def _run_job(made: Input, job: CaseJob, *, whole: bool) -> None:
    cohort = made.folder / "cohort.zarr"
    task = partial(_ingest, cohort, CONFIG) if whole else _read
    try:
        outcome = run_case(task, job, "case")
    except DcamError as error:
        made.problems.append(f"ends the run: {type(error).__name__}: {error}")
        return
    if isinstance(outcome, QuarantineEntry):
        made.outcomes.append(outcome.reason)
        made.says(outcome.detail)
        if outcome.detail.startswith(("unexpected", "not enough memory")):
            made.problems.append(outcome.detail)
        return
    made.outcomes.append("ingested" if whole else "accepted")
    digest = outcome.provenance["hu_sha256"] if isinstance(outcome, CaseRecord) else outcome
    made.digests.append(digest)
    if made.allowed_digests and digest not in made.allowed_digests:
        made.problems.append("other voxels were read from damaged bytes under a checksum")


def _ingest(cohort: Path, config: Config, job: CaseJob) -> CaseRecord:
    return ingest_case(cohort, job, config, assume_hu=False)


def _read(job: CaseJob) -> str:
    if job.kind == "dicom":
        return hu_digest(read_series(job.candidates, CONFIG.ingest, assume_hu=False).hu_DHW)
    return hu_digest(read_image(job.candidates[0][0], max_voxels=CONFIG.ingest.max_voxels).hu_DHW)
