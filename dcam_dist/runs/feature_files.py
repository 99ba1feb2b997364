"""Features in a file: ``.safetensors``, ``.npz`` or ``.csv``, from this package or from elsewhere.

.safetensors   tensor ``features`` float32 (N, C); metadata: format, case ids and where they were made, as JSON
.npz           ``features`` (N, C), ``case_id`` (N,)
.csv           a column ``case_id``, then one a channel
"""

import csv
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from dcam_dist.cohort.plain import open_plain
from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest.identity import SAFE_ID
from dcam_dist.runs.feature_formats import MOST_CHANNELS, MOST_HEADER, READERS, WRITERS
from dcam_dist.runs.run_config import replace_file
from dcam_dist.types import FeatureTable

MOST_BYTES = 4 << 30
"""Of a file, and of the features that a compressed one unfolds to: 10⁷ rows of 100 channels."""

_FAULTS = (
    ValueError,
    TypeError,
    LookupError,
    RecursionError,
    OverflowError,
    EOFError,
    RuntimeError,
    SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
    csv.Error,
)


ORIGINS = ("run_sha256", "patterns_sha256")
"""Of ``FeatureFile.about``: rows of different ones do not belong together."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """What a feature file holds.

    Attributes:
        table: At least one case; features finite, ids distinct.
        about: What a row is (``rows``) and what it was made with (``ORIGINS``), as far as the file says so.
    """

    table: FeatureTable
    about: Mapping[str, str]


def read_features(path: Path) -> FeatureTable:
    """As ``read_feature_file``, the table alone."""
    return read_feature_file(path).table


def read_feature_file(path: Path) -> FeatureFile:
    """Read a feature file; it may come from anywhere.

    Args:
        path: Its suffix says the format.

    Raises:
        UsageError: No such file, or a suffix of no format.
        DataError: Anything else than a feature file; names the file and the row, never a case.
    """
    reader = READERS[check_suffix(path)]
    try:
        with open_plain(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MOST_BYTES:
                raise DataError(f"{path}: {size} bytes; feature files of up to {MOST_BYTES} can be read")
            features_NC, ids, about = reader(stream, MOST_BYTES)
            return FeatureFile(_table(features_NC, ids), _known(about))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; features of a run: dcam-dist features RUN --out {path}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except _FAULTS as error:
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: no feature file ({why:.250})") from None


def write_features(path: Path, table: FeatureTable, about: Mapping[str, Any]) -> None:
    """Write a feature file; it exists whole or not at all.

    Args:
        path: Its suffix says the format.
        table: Features and cases.
        about: Where they were made, plain JSON; kept by ``.safetensors`` alone. Name no patient and no path in it.

    Raises:
        UsageError: A suffix of no format.
        DataError: When the table is not one that ``read_features`` would give.
        OSError: When it cannot be written.
    """
    writer = WRITERS[check_suffix(path)]
    try:
        _table(np.asarray(table.features_NC), list(table.case_id_N))
    except ValueError as error:
        raise DataError(f"{path}: not written ({error})") from None
    content = writer(table, about)
    if path.suffix == ".safetensors" and int.from_bytes(content[:8], "little") > MOST_HEADER:
        raise DataError(f"{path}: not written (too many cases for .safetensors; write .npz)")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)


def check_suffix(path: Path) -> str:
    """The suffix of a feature file's name.

    Raises:
        UsageError: When it is that of no format.
    """
    if path.suffix not in READERS:
        raise UsageError(f"{path}: a feature file is called {', '.join(f'*{suffix}' for suffix in READERS)}")
    return path.suffix


def _known(about: Mapping[str, Any]) -> Mapping[str, str]:
    known = {key: about[key] for key in ORIGINS if isinstance(about.get(key), str) and _DIGEST.fullmatch(about[key])}
    rows = about.get("rows")
    return known | ({"rows": rows} if isinstance(rows, str) and rows.isprintable() and len(rows) <= 200 else {})


def _table(features_NC: NDArray[np.float32], ids: list[str]) -> FeatureTable:
    if features_NC.dtype != np.float32 or features_NC.ndim != 2:
        raise ValueError(
            f"features are {features_NC.dtype} of shape {features_NC.shape}, not float32 (cases, channels)"
        )
    if not ids:
        raise ValueError("it holds no case")
    if len(features_NC) != len(ids):
        raise ValueError(f"it has {len(ids)} case ids for {len(features_NC)} rows of features")
    if not 1 <= features_NC.shape[1] <= MOST_CHANNELS:
        raise ValueError(f"has {features_NC.shape[1]} channels; 1 to {MOST_CHANNELS:,} can be read")
    seen: set[str] = set()
    for row, case_id in enumerate(ids, start=1):
        if not SAFE_ID.fullmatch(case_id):
            raise ValueError(
                f"the case id of row {row} is none: up to 64 letters, digits, '.', '_' and '-', the first one of the "
                "former two; it must be pseudonymous"
            )
        if case_id in seen:
            raise ValueError(f"the case id of row {row} was used before")
        seen.add(case_id)
    if len(broken := np.flatnonzero(~np.isfinite(features_NC).all(axis=1))):
        raise ValueError(f"the features of {len(broken)} rows are not finite, first row {broken[0] + 1}")
    return FeatureTable(features_NC, tuple(ids))
