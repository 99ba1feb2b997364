"""The pixels of a series as HU, slice by slice: one volume in memory, and each slice's own rescale values.

Uncompressed pixels are read without any native parser. Compressed ones are decoded by another process.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom_decode import decode_frames
from dcam_dist.ingest.dicom_file import DEFLATED, inflated_body
from dcam_dist.ingest.dicom_headers import SliceHeader
from dcam_dist.ingest.scan import AIR_HU, clean_hu

_TABLE_BITS = 16
"""Up to so many bits, HU are looked up in a table of all stored values."""


def read_slices(ordered: Sequence[SliceHeader], config: IngestConfig) -> Iterator[NDArray[np.int16]]:
    """Read slices in which ``find_faults`` finds nothing.

    Args:
        ordered: Slices or frames.
        config: Limits of the decoding process.

    Yields:
        HU of each slice, int16 of shape (H, W).

    Raises:
        CaseRejected: ``unreadable`` or ``truncated_file`` when the pixels cannot be read, ``not_finite`` when HU are
            not finite.
    """
    tables: dict[tuple[object, ...], NDArray[np.int16]] = {}
    inflated: dict[Path, bytes] = {}
    with closing(decode_frames([header for header in ordered if header.compressed], config)) as decoded:
        for header in ordered:
            if header.compressed:
                raw = np.frombuffer(next(decoded), f"<u{int(header.bits) // 8}")
            else:
                raw = _native(header, inflated)
            yield _hounsfield(raw, header, tables).reshape(int(header.rows), int(header.columns))


def stored_to_hu(raw: NDArray[Any], header: SliceHeader) -> NDArray[np.int16]:
    """Raw pixel words as HU.

    The stored bits are cut out of each word and given their sign, then rescaled (DICOM PS3.3, C.7.6.3.1 and C.11.1).
    Values in the padding range become air, whether they are meant before or after the cut: a padding of −2000 does not
    fit into 12 bits.

    Args:
        raw: Unsigned words of the allocated bits.
        header: Bits, sign, rescale values and padding. Absent rescale values are 1 and 0.

    Raises:
        CaseRejected: ``not_finite``.
    """
    bits = 8 * raw.dtype.itemsize
    stored = int(header.bits_stored or bits)
    shift = int(header.high_bit or stored - 1) + 1 - stored
    words = raw.astype(np.int64)
    values = _with_sign((words >> shift) & (2**stored - 1), stored, header)
    slope = 1.0 if header.rescale_slope is None else header.rescale_slope
    with np.errstate(over="ignore", invalid="ignore"):
        hu = clean_hu(values * slope + (header.rescale_intercept or 0.0))
    if header.padding is not None:
        lowest, highest = (_word(value, bits, header) for value in header.padding)
        whole = _with_sign(words, bits, header)
        for candidates in (values, whole):
            hu[(candidates >= min(lowest, highest)) & (candidates <= max(lowest, highest))] = AIR_HU
    return hu


def _hounsfield(
    raw: NDArray[Any], header: SliceHeader, tables: dict[tuple[object, ...], NDArray[np.int16]]
) -> NDArray[np.int16]:
    bits = 8 * raw.dtype.itemsize
    if bits > _TABLE_BITS:
        return stored_to_hu(raw, header)
    layout = (bits, header.bits_stored, header.high_bit, header.signed)
    key = (*layout, header.rescale_slope, header.rescale_intercept, header.padding)
    if key not in tables:
        tables.clear()  # slices with one set of values follow each other
        tables[key] = stored_to_hu(np.arange(2**bits, dtype=np.uint32).astype(f"u{bits // 8}"), header)
    return np.take(tables[key], raw)


def _native(header: SliceHeader, inflated: dict[Path, bytes]) -> NDArray[Any]:
    """The words of one uncompressed frame."""
    size, offset = int(header.frame_bytes), header.pixels.offset if header.pixels else 0
    offset += size * (header.frame or 0)
    dtype = np.dtype(f"{'>' if header.big_endian else '<'}u{int(header.bits) // 8}")
    try:
        if header.syntax == DEFLATED:
            if header.path not in inflated:
                inflated.clear()
                inflated[header.path] = inflated_body(header.path)
            content = inflated[header.path][offset : offset + size]
        else:
            with header.path.open("rb") as stream:
                stream.seek(offset)
                content = stream.read(size)
    except (OSError, ValueError):
        raise CaseRejected(Reason.UNREADABLE, "a file cannot be read any more") from None
    if len(content) < size:
        raise CaseRejected(Reason.TRUNCATED, "a file became shorter while it was read")
    return np.frombuffer(content, dtype)


def _with_sign(values: NDArray[np.int64], bits: int, header: SliceHeader) -> NDArray[np.int64]:
    return values - ((values >> (bits - 1)) << bits) if header.signed == 1 else values


def _word(value: float, bits: int, header: SliceHeader) -> int:
    """A padding value as a word has it: headers give negative ones as unsigned, and the other way round."""
    word = int(value) % (1 << bits)
    return word - (1 << bits) if header.signed == 1 and word >> (bits - 1) else word
