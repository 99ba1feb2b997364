"""Derived labels: results laid into the cases of a sealed cohort, beside the lungs, where viewers find them.

    cases/<case_id>/labels/winner-…/
      zarr.json, 0/, 1/        an OME-Zarr 0.5 label image on both levels
      manifest.json, commit    its own seal

The seal of the case does not cover them, so that a cohort keeps its seal whatever is laid into it or taken out again.
A label is written among the unfinished things, sealed, renamed into place, and only then named by the list of labels;
to be replaced or taken out, it leaves the list first. So the list never names one that is not whole.
"""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import layout
from dcam_dist.cohort.check import Finding, derived_folders, derived_whole
from dcam_dist.cohort.durable import incoming, remove, replace_file, sync
from dcam_dist.cohort.label_list import DERIVED, LABEL_LIST, is_entry, names_in, with_derived
from dcam_dist.cohort.manifest import load_manifest, read_seal
from dcam_dist.cohort.plain import read_plain
from dcam_dist.cohort.writer import Values, seal_case, write_label_image
from dcam_dist.errors import DataError
from dcam_dist.types import CaseRecord

_SIDE = ".label"


@dataclass(frozen=True, eq=False)
class DerivedLabel:
    """A label image for one case.

    Attributes:
        name: Begins with ``winner-``; safe as a folder name.
        native_DHW: uint8 on level 0: 0 outside, else 1, 2 … as in ``values``.
        grid_DHW: uint8 on level 1.
        values: Title and colour (RGBA, 0…255) of the values 1, 2 ….
        about: Where it comes from: the attribute ``dcam_dist`` of its group.
    """

    name: str
    native_DHW: NDArray[np.uint8]
    grid_DHW: NDArray[np.uint8]
    values: Values
    about: Mapping[str, Any]


def put_label(cohort: Path, record: CaseRecord, label: DerivedLabel) -> Path:
    """Lay a label into a case, in the place of an earlier one of that name; the caller is the cohort's only writer.

    The same label again changes nothing. What an interrupted call left is cleared.

    Args:
        cohort: The store.
        record: The case.
        label: Its arrays have the shapes of the record's two levels.

    Returns:
        The label's folder.

    Raises:
        DataError: When the case's list of labels is not what ingest wrote.
        OSError: When the disk refuses.
    """
    if not label.name.startswith(DERIVED):
        raise ValueError(f"a derived label's name begins with {DERIVED}")
    case = cohort / layout.CASES / record.case_id
    _clear_leftovers(cohort)
    _listed(case)
    side = _fresh_name(cohort, record.case_id)
    levels = (label.native_DHW, label.grid_DHW)
    seal_case(side, write_label_image(side, label.name, record, levels, label.values, label.about))
    final = case / "labels" / label.name
    if final.name in derived_folders(case) and derived_whole(final) and read_seal(final) == read_seal(side):
        remove(side)
    else:
        _replace(cohort, record.case_id, side, final)
    settle_label_list(cohort, record.case_id)
    with suppress(OSError):  # an interrupted ingest may have left more in it, for the next one
        incoming(cohort).rmdir()
    return final


def settle_label_list(cohort: Path, case_id: str) -> None:
    """Let a case's list of labels name the derived ones that are there and whole, and no others.

    Raises:
        DataError: When the list, derived labels aside, is not what ingest wrote.
    """
    case = cohort / layout.CASES / case_id
    _list_only(cohort, case_id, {name for name in derived_folders(case) if derived_whole(case / "labels" / name)})


def is_derived(found: Finding) -> bool:
    """Whether a finding of ``validate`` is about a derived label."""
    return found.case_id is not None and f"/labels/{DERIVED}" in found.path


def _replace(cohort: Path, case_id: str, side: Path, final: Path) -> None:
    case = cohort / layout.CASES / case_id
    _list_only(cohort, case_id, set(_listed(case)) - {final.name})
    old = _fresh_name(cohort, case_id)
    if final.exists():
        final.rename(old)
    side.rename(final)
    sync(final.parent)
    if old.exists():
        remove(old)


def _list_only(cohort: Path, case_id: str, derived: set[str]) -> None:
    case = cohort / layout.CASES / case_id
    if derived != set(_listed(case)):
        content = with_derived(read_plain(case / LABEL_LIST), derived)
        replace_file(cohort, f"{layout.CASES}/{case_id}/{LABEL_LIST}", content)


def _listed(case: Path) -> tuple[str, ...]:
    """The derived labels in a case's list, which is otherwise what ingest wrote."""
    try:
        content, entry = read_plain(case / LABEL_LIST), load_manifest(case)[0].files[LABEL_LIST]
        if is_entry(with_derived(content, ()), entry):
            return tuple(name for name in names_in(content) if name.startswith(DERIVED))
    except (OSError, ValueError, KeyError, DataError):
        pass
    cohort = case.parent.parent
    raise DataError(f"{case / LABEL_LIST}: not as ingest wrote it; {layout.mend(cohort)}")


def _fresh_name(cohort: Path, case_id: str) -> Path:
    return incoming(cohort) / f"{case_id}.{uuid.uuid4().hex}{_SIDE}"


def _clear_leftovers(cohort: Path) -> None:
    side_file = f"{Path(LABEL_LIST).name}.*"  # as replace_file names it
    for left in [*incoming(cohort).glob(f"*{_SIDE}"), *incoming(cohort).glob(side_file)]:
        remove(left)
