"""Where things lie in a cohort, and how records become JSON.

    COHORT.zarr/
      zarr.json              group; attribute ``dcam_dist``: store version, grid, label names
      cases.json             the case table, in the cohort's stable order
      quarantine.json        cases set aside, with reason codes
      quality.html, .csv     the quality report
      manifest.json, commit  what each of these files is, and the seal of each case
      cases/<case_id>/       one OME-Zarr 0.5 image a case; attribute ``dcam_dist``: its record
        0  int16  HU, the lungs' crop at the scan's resolution      labels/lungs/0  uint8: 1 right, 2 left lung
        1  int16  HU on the training grid                           labels/lungs/1  uint8
        manifest.json        size, SHA-256 and chunk count of each file of the case
        commit               SHA-256 of manifest.json, written last: the case's seal

OME-Zarr 0.5 holds scale and translation only; the full affines are in the record (``types.CaseRecord``).
``docs/cohort_store.md`` describes every field.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dcam_dist.cohort.plain import read_plain
from dcam_dist.errors import DataError
from dcam_dist.types import CaseRecord, Geometry

STORE_VERSION = 3
ATTRIBUTE = "dcam_dist"
CASES = "cases"
NATIVE_LEVEL, GRID_LEVEL = "0", "1"
LUNG_LABEL = "lungs"
CASE_TABLE = "cases.json"
QUARANTINE_TABLE = "quarantine.json"
ROOT_FILES = ("zarr.json", f"{CASES}/zarr.json", CASE_TABLE, QUARANTINE_TABLE)
"""What every finished cohort has beside its cases; the first two are Zarr's."""
REPORT_FILES = ("quality.html", "quality.csv")
MANIFEST, COMMIT = "manifest.json", "commit"
INCOMING = ".incoming"
"""Everything unfinished; what an interrupted ingest left here, the next one clears."""
SHARD = "c/0/0/0"
"""The one file that holds a volume."""


def record_to_json(record: CaseRecord) -> dict[str, Any]:
    """A record as plain JSON types."""
    return {**asdict(record), "covariates": dict(record.covariates), "densitometry": dict(record.densitometry)}


def record_from_json(tree: dict[str, Any]) -> CaseRecord:
    """The inverse of ``record_to_json``.

    Raises:
        DataError: When a field is missing or malformed.
    """
    try:
        spaces = {name: _geometry(tree[name]) for name in ("scan", "native", "grid")}
        return CaseRecord(**{**tree, **spaces, "flags": tuple(tree["flags"])})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a case record is malformed ({error}); ingest the cohort again") from None


def to_json(tree: Any) -> bytes:
    """JSON as the store writes it: the same bytes for the same tree."""
    return json.dumps(tree, indent=1, allow_nan=False).encode()


def write_json(path: Path, tree: Any) -> None:
    """Write JSON outside a cohort, so that the file is either the old or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(to_json(tree))
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        DataError: When the file is missing or not JSON.
    """
    try:
        return json.loads(read_plain(path).decode("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; was ingest interrupted? Run it again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({type(error).__name__}); {mend(path.parent)}") from None


def mend(cohort: Path) -> str:
    """What to do about a damaged cohort."""
    return f"mend it with: dcam-dist validate {cohort} --repair"


def _geometry(tree: dict[str, Any]) -> Geometry:
    return Geometry(tuple(tree["shape"]), tuple(tuple(row) for row in tree["affine"]))  # type: ignore[arg-type]
