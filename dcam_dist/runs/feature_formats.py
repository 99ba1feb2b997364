"""The three formats of a feature file. Readers take an open file, trust nothing in it, and tell by ``ValueError``.

No reader unpickles, and none takes more memory than a few times what the caller's bound allows.
"""

import csv
import io
import json
import math
import re
import zipfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from dcam_dist.types import FeatureTable

FORMAT = 1
FEATURES, CASE_ID = "features", "case_id"
MOST_CHANNELS = 1 << 16
MOST_HEADER = 100_000_000
"""Bytes of a safetensors header, the format's own bound; the case ids lie in it."""
LONGEST_ID = 64
LONGEST_LINE = 32 * MOST_CHANNELS
"""Letters of a line of a table; a float64 takes 25 at most."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Parts = tuple[NDArray[np.float32], list[str], Mapping[str, Any]]
"""Features (N, C) and case ids, not compared with each other yet, and where they were made."""


def from_safetensors(stream: IO[bytes], most_bytes: int) -> Parts:
    """Tensor ``features`` (F32), case ids in the metadata."""
    content = stream.read(most_bytes)
    length = int.from_bytes(content[:8], "little")
    if length > MOST_HEADER:
        raise ValueError("its header is too long")
    about = json.loads(content[8 : 8 + length])["__metadata__"]
    if about["format"] != str(FORMAT):
        raise ValueError(f"of format {about['format']!r:.20}, this version reads {FORMAT}")
    tensors = safetensors.numpy.load(content)
    if list(tensors) != [FEATURES] or tensors[FEATURES].dtype != np.float32:
        raise ValueError(f"needs one tensor {FEATURES!r} of type F32")
    origin = json.loads(about.get("about", "{}"))
    return tensors[FEATURES], _texts(json.loads(about[CASE_ID])), origin if isinstance(origin, dict) else {}


def to_safetensors(table: FeatureTable, about: Mapping[str, Any]) -> bytes:
    """The inverse; ``about`` goes into the metadata as JSON."""
    metadata = {
        "format": str(FORMAT),
        CASE_ID: json.dumps(list(table.case_id_N)),
        "about": json.dumps(dict(about), allow_nan=False),
    }
    return safetensors.numpy.save({FEATURES: np.ascontiguousarray(table.features_NC)}, metadata)


def from_npz(stream: IO[bytes], most_bytes: int) -> Parts:
    """Arrays ``features`` (a float type) and ``case_id`` (text); others are not looked at."""
    with zipfile.ZipFile(stream) as archive:
        case_id_N = _npy(archive, CASE_ID, "U", 1, most_bytes)
        features_NC = _npy(archive, FEATURES, "f", 2, most_bytes)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        return features_NC.astype(np.float32), case_id_N.tolist(), {}


def to_npz(table: FeatureTable, about: Mapping[str, Any]) -> bytes:
    """The inverse, without ``about``, for which the format has no place."""
    content = io.BytesIO()
    ids = np.array(table.case_id_N, dtype=f"<U{LONGEST_ID}")
    np.savez(content, allow_pickle=False, **{FEATURES: np.ascontiguousarray(table.features_NC), CASE_ID: ids})
    return content.getvalue()


def from_csv(stream: IO[bytes], most_bytes: int) -> Parts:
    """A header ``case_id`` and the names of the channels, then a line a case."""
    lines = _csv_lines(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""))
    header = next(lines, [])
    if header[:1] != [CASE_ID]:
        raise ValueError(f"its first line must be {CASE_ID} and the names of the channels")
    _bounded(len(header) - 1)
    ids, numbers = [], array("f")
    for line, cells in enumerate(lines, start=2):
        if len(cells) != len(header):
            raise ValueError(f"line {line} has {len(cells)} columns, the first line {len(header)}")
        ids.append(cells[0])
        numbers.extend(_number(cell, line) for cell in cells[1:])
    return np.array(numbers, np.float32).reshape(len(ids), len(header) - 1), ids, {}


def to_csv(table: FeatureTable, about: Mapping[str, Any]) -> bytes:
    """The inverse, to the last bit, without ``about``, for which the format has no place."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([CASE_ID, *(f"channel_{channel}" for channel in range(1, table.features_NC.shape[1] + 1))])
    for case_id, values in zip(table.case_id_N, table.features_NC, strict=True):
        writer.writerow([case_id, *values.tolist()])  # a float32 as the float64 it is: every digit is written
    return text.getvalue().encode()


READERS: Mapping[str, Callable[[IO[bytes], int], Parts]] = {
    ".safetensors": from_safetensors,
    ".npz": from_npz,
    ".csv": from_csv,
}
WRITERS: Mapping[str, Callable[[FeatureTable, Mapping[str, Any]], bytes]] = {
    ".safetensors": to_safetensors,
    ".npz": to_npz,
    ".csv": to_csv,
}


def _npy(archive: zipfile.ZipFile, name: str, kind: str, axes: int, most_bytes: int) -> NDArray[Any]:
    """An array of an archive, read only when its header and its size agree: a small archive may unfold to terabytes."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise ValueError(f"needs the arrays {FEATURES!r} and {CASE_ID!r}") from None
    if info.compress_type not in _PLAIN_METHODS or info.flag_bits & 1:
        raise ValueError("compressed in another way than NumPy does")
    with archive.open(info) as entry:
        shape, fortran, dtype = _npy_header(entry)
        if dtype.kind != kind or len(shape) != axes:
            wanted = "float numbers of shape (cases, channels)" if kind == "f" else "texts, one a case"
            raise ValueError(f"{name} must hold {wanted}, not {dtype} of shape {shape}")
        if kind == "f":
            _bounded(shape[1])
        size = math.prod(shape) * dtype.itemsize
        if size > most_bytes or info.file_size - entry.tell() != size:
            raise ValueError(f"{name} is {info.file_size} bytes long, which is not what its header says")
        flat = np.frombuffer(entry.read(size), dtype, count=math.prod(shape))
    return flat.reshape(shape, order="F" if fortran else "C")


def _npy_header(entry: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        return readers[np.lib.format.read_magic(entry)](entry)
    except Exception as error:  # NumPy hands the header to Python's own parser, which may raise almost anything
        raise ValueError(f"holds something that is no array of NumPy's ({type(error).__name__})") from None


def _csv_lines(text: io.TextIOWrapper) -> Iterator[list[str]]:
    """Line by line, so that no cell goes over several and none of them takes more memory than is known here."""
    while line := text.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE:,} letters")
        yield from csv.reader([line], strict=True)


def _number(cell: str, line: int) -> float:
    if _NUMBER.fullmatch(cell) or _NOT_FINITE.fullmatch(cell):
        return float(cell)
    raise ValueError(f"line {line} holds something that is no number")


def _bounded(channels: int) -> None:
    if not 1 <= channels <= MOST_CHANNELS:
        raise ValueError(f"has {channels} channels; 1 to {MOST_CHANNELS:,} can be read")


def _texts(ids: Any) -> list[str]:
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise ValueError("its case ids are no list of texts")
    return ids
