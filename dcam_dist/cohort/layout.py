"""Where things lie in a cohort, and how records become JSON.

    COHORT.zarr/
      zarr.json              group; attribute ``dcam_dist``: store version, grid, label names
      cases.json             the case table, in the cohort's stable order
      quarantine.json        cases set aside, with reason codes
      cases/<case_id>/       one OME-Zarr 0.5 image a case; attribute ``dcam_dist``: its record
        0  int16  HU, the lungs' crop at the scan's resolution      labels/lungs/0  uint8
        1  int16  HU on the training grid                           labels/lungs/1  uint8

OME-Zarr 0.5 holds scale and translation only; the full affines are in the record (``types.CaseRecord``).
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dcam_dist.errors import DataError
from dcam_dist.types import CaseRecord, Geometry

STORE_VERSION = 2
ATTRIBUTE = "dcam_dist"
CASES = "cases"
NATIVE_LEVEL, GRID_LEVEL = "0", "1"
LUNG_LABEL = "lungs"
CASE_TABLE = "cases.json"
QUARANTINE_TABLE = "quarantine.json"
INCOMING = ".incoming"
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


def write_json(path: Path, tree: Any) -> None:
    """Write JSON so that the file is either the old or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(tree, stream, indent=1, allow_nan=False)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        DataError: When the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; was ingest interrupted? Run it again") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: not readable as JSON ({type(error).__name__}); ingest again") from None


def _geometry(tree: dict[str, Any]) -> Geometry:
    return Geometry(tuple(tree["shape"]), tuple(tuple(row) for row in tree["affine"]))  # type: ignore[arg-type]
