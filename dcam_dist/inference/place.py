"""The folder of a call of ``infer``: what it may hold, and the scans that it is about.

OUT/
inference.json      which model answered
CASE/               maps, overlay.png, case.json (last); one folder a scan
summary.csv         a line a scan
quarantine.json     scans set aside, with reason codes
OUT.private.json      beside it, for its owner alone: key and mapping of the case ids
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.cohort.durable import remove
from dcam_dist.cohort.layout import read_json, write_json
from dcam_dist.cohort.lock import only_holder
from dcam_dist.errors import UsageError
from dcam_dist.ingest.begin import case_job, name_scans, with_origins
from dcam_dist.ingest.case import CaseJob
from dcam_dist.ingest.identity import load_identity, private_path, save_identity
from dcam_dist.ingest.scan_source import ScanSource
from dcam_dist.ingest.sources import CASE_TABLE_NAME
from dcam_dist.types import QuarantineEntry

ABOUT, SUMMARY, QUARANTINE = "inference.json", "summary.csv", "quarantine.json"
KIND = "dcam-dist inference"
_LEFT = re.compile(r"\.(.+\.(new|old)-[0-9a-f]{32}|[a-z]+\.json\.[0-9]+|summary\.csv)")
"""What a killed call leaves: folders on their way in or out, and files that were not whole."""


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


@contextmanager
def only_call(out: Path) -> Iterator[None]:
    """Hold a folder's lock, a file beside it, as long as a call works in it.

    Raises:
        EnvironmentFault: When another call holds it; says which.
    """
    home = out.absolute()
    home.parent.mkdir(parents=True, exist_ok=True)
    with only_holder(
        home.with_name(f".{home.name}.lock"),
        held=lambda who: f"{out}: another infer is writing it{who}; wait for it, or choose another --out",
        unlockable=lambda why: f"{out}: cannot be locked ({why}); do not call infer on it twice at once",
    ):
        yield


def check_place(out: Path, about: Mapping[str, str], sources: Sequence[Path]) -> None:
    """Refuse a folder that is no place for the answers; nothing is written.

    Args:
        out: The folder.
        about: The model, as ``about_model`` gives it.
        sources: Where scans will be searched for.

    Raises:
        UsageError: When it holds something else, or lies where its own maps would be taken for scans.
    """
    for source in sources:
        searched = source.is_dir() and not (source / CASE_TABLE_NAME).is_file()
        if searched and out.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                f"{out}: lies within {source}, where its maps would be found as scans; choose an --out outside of it"
            )
    if (out / ABOUT).is_file():
        if read_json(out / ABOUT) != _content(about):
            raise UsageError(f"{out}: holds the answers of another model; choose another --out")
    elif out.exists() and (not out.is_dir() or any(not _LEFT.fullmatch(path.name) for path in out.iterdir())):
        raise UsageError(f"{out}: exists and holds no answers of infer; choose another --out")


def open_place(out: Path, about: Mapping[str, str]) -> None:
    """Begin a folder that ``check_place`` has found good, or go on in one, without what killed calls have left in it.

    Raises:
        OSError: When it cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in list(out.iterdir()):
        if _LEFT.fullmatch(path.name):
            remove(path)
    for path in out.glob("*/.*"):
        if _LEFT.fullmatch(path.name):
            remove(path)
    if not (out / ABOUT).is_file():
        write_json(out / ABOUT, _content(about))


def _content(about: Mapping[str, str]) -> dict[str, object]:
    return {"kind": KIND, "format": 1, "model": dict(about)}


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
