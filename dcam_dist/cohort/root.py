"""The cohort's root: begun in one rename, closed with its tables, sealed last."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import zarr

from dcam_dist.cohort import layout
from dcam_dist.cohort.check import check_case
from dcam_dist.cohort.durable import clear_incoming, remove, replace_file, sync, sync_folders
from dcam_dist.cohort.manifest import Manifest, commit_content, describe, read_seal, seal_of
from dcam_dist.cohort.store import CohortDescription, read_description, stored_id
from dcam_dist.errors import DataError, UsageError
from dcam_dist.types import CaseRecord, QuarantineEntry


def create_cohort(path: Path, description: CohortDescription) -> None:
    """Begin a cohort, or accept one of the same description so that ingest can go on with it.

    A case that an interrupted replacement left outside is put back into its place.

    Raises:
        UsageError: When the path holds something else, or a cohort with another grid or label set.
        DataError: When the cohort's description is damaged.
    """
    if (path / "zarr.json").exists():
        join_cohort(path, description)
        _put_back(path)
        return
    if (path / layout.MANIFEST).exists():
        raise DataError(f"{path / 'zarr.json'}: missing; {layout.mend(path)}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path}: exists and is not a cohort; choose another --out")
    home = path.resolve()
    side = _write_groups(home, description)
    side.rename(home)
    sync(home.parent)


def join_cohort(path: Path, description: CohortDescription) -> None:
    """Accept a cohort that others may be writing; what is on its way in is theirs.

    Raises:
        UsageError: When its grid or label set is another.
        DataError: When its description is missing or damaged.
    """
    if read_description(path) != description:
        raise UsageError(f"{path}: holds a cohort with another grid or label set; choose another --out")


def restore_groups(path: Path, description: CohortDescription) -> None:
    """Write the two Zarr groups of the root again, where they were damaged."""
    side = _write_groups(path.resolve(), description)
    cases = path / layout.CASES
    if os.path.lexists(cases) and (cases.is_symlink() or not cases.is_dir()):
        remove(cases)
    cases.mkdir(exist_ok=True)
    for name in ("zarr.json", f"{layout.CASES}/zarr.json"):
        replace_file(path, name, (side / name).read_bytes())
    shutil.rmtree(side)


def close_cohort(path: Path, cases: Iterable[CaseRecord], quarantine: Iterable[QuarantineEntry]) -> None:
    """Write the tables that make the cohort readable, clear what interrupted writers left, and seal it.

    Cases are ordered by id, so that the order does not depend on which worker finished first.

    Raises:
        DataError: As ``seal_cohort``.
    """
    clear_incoming(path)
    ordered = sorted(cases, key=lambda case: case.case_id)
    aside = [asdict(entry) for entry in sorted(quarantine, key=lambda entry: entry.case_id)]
    replace_file(path, layout.QUARANTINE_TABLE, layout.to_json(aside))
    replace_file(path, layout.CASE_TABLE, layout.to_json([layout.record_to_json(case) for case in ordered]))
    seal_cohort(path)


def seal_cohort(path: Path) -> None:
    """Write the root's manifest over the tables, the quality report where there is one, and every case's seal.

    To be called again when the report was written. A sealed cohort whose files have not changed stays untouched.

    Raises:
        DataError: When a listed case is not in the store, or its folder holds another, or one is listed twice.
    """
    names = [*layout.ROOT_FILES, *(name for name in layout.REPORT_FILES if (path / name).exists())]
    seals = {}
    for tree in layout.read_json(path / layout.CASE_TABLE):
        case_id = tree["case_id"]
        if case_id in seals:
            raise DataError(f"{path}: {layout.CASE_TABLE} lists case {case_id} twice; {layout.mend(path)}")
        try:
            seals[case_id] = read_seal(path / layout.CASES / case_id)
        except DataError as error:
            raise DataError(f"{path}: case {case_id}: {error}; {layout.mend(path)}") from None
        if stored_id(path / layout.CASES / case_id) != case_id:
            raise DataError(f"{path}: case {case_id}: its folder holds another case; {layout.mend(path)}")
    content = Manifest(describe(path, names), seals).to_bytes()
    files = ((layout.MANIFEST, content), (layout.COMMIT, commit_content(seal_of(content))))
    if any(not (path / name).is_file() or (path / name).read_bytes() != wanted for name, wanted in files):
        for name, wanted in files:
            replace_file(path, name, wanted)
    clear_incoming(path)


def _write_groups(home: Path, description: CohortDescription) -> Path:
    """The root's groups in a hidden folder beside it; what an earlier call left there is replaced."""
    side = home.with_name(f".{home.name}{layout.INCOMING}")
    shutil.rmtree(side, ignore_errors=True)
    attributes = {
        "store_version": layout.STORE_VERSION,
        "grid": description.grid.model_dump(mode="json"),
        "label_names": list(description.label_names),
    }
    zarr.create_group(side, attributes={layout.ATTRIBUTE: attributes}).create_group(layout.CASES)
    describe(side, ("zarr.json", f"{layout.CASES}/zarr.json"))
    sync_folders(side)
    return side


def _put_back(path: Path) -> None:
    for side in sorted((path / layout.INCOMING).glob("*.*.*"), key=lambda side: side.name.endswith(".old")):
        case_id, _, kind = side.name.rsplit(".", 2)
        final = path / layout.CASES / case_id
        if kind in ("new", "old") and not final.exists() and not check_case(side, case_id=case_id):
            side.rename(final)
            sync(final.parent)
