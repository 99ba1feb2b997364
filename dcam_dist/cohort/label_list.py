"""The list of a case's label images, which is sealed by ingest and may name derived labels besides.

Viewers find labels by this list alone (OME-Zarr 0.5, ``labels/zarr.json``). So that results can be laid into a sealed
case, the list is judged without the names of derived labels: what is left must be what ingest wrote, to the byte.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from dcam_dist.cohort.manifest import FileEntry, check_content
from dcam_dist.cohort.plain import read_plain

LABEL_LIST = "labels/zarr.json"
DERIVED = "winner-"
"""What the names of derived labels begin with."""


def names_in(content: bytes) -> tuple[str, ...]:
    """The labels that a list names.

    Raises:
        ValueError: When it is no such list.
    """
    try:
        return tuple(str(name) for name in json.loads(content)["attributes"]["ome"]["labels"])
    except (KeyError, TypeError, RecursionError):
        raise ValueError("no list of labels") from None


def with_derived(content: bytes, derived: Iterable[str]) -> bytes:
    """The list with these derived labels, in alphabetical order after ingest's own, and no others.

    Raises:
        ValueError: When it is no such list.
    """
    own = [name for name in names_in(content) if not name.startswith(DERIVED)]
    tree = json.loads(content)
    tree["attributes"]["ome"]["labels"] = [*own, *sorted(derived)]
    return json.dumps(tree, indent=2).encode()  # as Zarr writes it


def check_label_list(path: Path, entry: FileEntry) -> str | None:
    """What is wrong with a case's list of labels, derived ones aside, else ``None``."""
    fault = check_content(path, entry)
    if fault is None:
        return None
    try:
        sealed = with_derived(read_plain(path), ())
    except (OSError, ValueError):
        return fault
    return None if is_entry(sealed, entry) else fault


def is_entry(content: bytes, entry: FileEntry) -> bool:
    """Whether a content is what a manifest says."""
    return len(content) == entry.bytes and hashlib.sha256(content).hexdigest() == entry.sha256
