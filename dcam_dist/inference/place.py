"""The folder of a call of ``infer``: what it may hold, and the scans that it is about.

OUT/
inference.json      which model answered
CASE/               maps, overlay.png, case.json (last); one folder a scan
summary.csv         a line a scan
quarantine.json     scans set aside, with reason codes
OUT.private.json      beside it, for its owner alone: key and mapping of the case ids
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.cohort.layout import read_json, write_json
from dcam_dist.errors import UsageError
from dcam_dist.ingest.begin import case_job, name_scans, with_origins
from dcam_dist.ingest.case import CaseJob
from dcam_dist.ingest.identity import load_identity, private_path, save_identity
from dcam_dist.ingest.scan_source import ScanSource
from dcam_dist.runs import Bundle
from dcam_dist.types import QuarantineEntry

ABOUT, SUMMARY, QUARANTINE = "inference.json", "summary.csv", "quarantine.json"
KIND = "dcam-dist inference"


@dataclass(frozen=True)
class Work:
    """What a call is to do.

    Attributes:
        jobs: The scans, in the order of their ids.
        aside: Those that cannot be used, as is known before they are read.
        acquisitions: A keyed hash of study and frame of reference by case id, where they are known.
    """

    jobs: tuple[CaseJob, ...]
    aside: tuple[QuarantineEntry, ...]
    acquisitions: Mapping[str, str]

    @property
    def case_ids(self) -> list[str]:
        """All scans."""
        return sorted([*(job.case_id for job in self.jobs), *(entry.case_id for entry in self.aside)])


def open_place(out: Path, bundle: Bundle) -> None:
    """Begin a folder, or go on in one where the same model answered.

    Raises:
        UsageError: When it holds something else.
        OSError: When it cannot be written.
    """
    about = {
        "kind": KIND,
        "format": 1,
        "model": {"run_sha256": bundle.run_sha256, "method": bundle.model.config.method},
    }
    if (out / ABOUT).is_file():
        if read_json(out / ABOUT) != about:
            raise UsageError(f"{out}: holds the answers of another model; choose another --out")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: exists and holds no answers of infer; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / ABOUT, about)


def name_work(out: Path, scans: Sequence[ScanSource], *, hash_ids: bool, save: bool) -> Work:
    """Give the scans their ids and say what is to be done.

    Args:
        out: The folder.
        scans: What the sources give.
        hash_ids: Replace the ids of a table by keyed hashes.
        save: Write the private file, as one process must before the others call.

    Raises:
        UsageError: When the folder holds scans that this call does not name.
        DataError: When two scans have one id, or an id is no folder name.
    """
    secret = load_identity(private_path(out))
    named = name_scans(scans, secret, hash_ids=hash_ids)
    if others := {path.parent.name for path in out.glob("*/case.json")} - dict(named).keys():
        raise UsageError(
            f"{out}: holds {len(others)} scans that this call does not name, {min(others)} the first; "
            "choose another --out"
        )
    if save:
        save_identity(private_path(out), with_origins(secret, named))
    return Work(
        jobs=tuple(case_job(case_id, scan, "test", secret) for case_id, scan in named if scan.fault is None),
        aside=tuple(
            QuarantineEntry(case_id, str(scan.fault[0]), scan.fault[1], tuple(map(str, scan.also)))
            for case_id, scan in named
            if scan.fault is not None
        ),
        acquisitions={case_id: secret.pseudonym(scan.acquisition) for case_id, scan in named if scan.acquisition},
    )
