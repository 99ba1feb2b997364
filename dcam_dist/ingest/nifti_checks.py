"""Whether a NIfTI file is whole. ITK fills what is missing with zeros or old memory and says nothing."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

from dcam_dist.errors import CaseRejected, Reason

_BLOCK = 1 << 20
_HEADER_BYTES = 540
_SLACK = 64 << 20
"""Bytes that may follow the voxels; more is no image but a decompression bomb."""


def check_whole(path: Path) -> None:
    """Count the bytes of a ``.nii`` or ``.nii.gz`` against its header, and let gzip check its checksum.

    Raises:
        CaseRejected: ``unreadable``.
    """
    try:
        with _open(path) as stream:
            header: bytes = stream.read(_HEADER_BYTES)
            expected = _expected_bytes(header)
            held = _count(stream, len(header), expected + _SLACK)
    except (OSError, EOFError, zlib.error, struct.error, ValueError, OverflowError):
        raise CaseRejected(Reason.UNREADABLE, "the file is damaged or truncated") from None
    if not expected <= held <= expected + _SLACK:
        raise CaseRejected(Reason.UNREADABLE, f"the header announces {expected} bytes, the file holds {held}")


def _open(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _expected_bytes(header: bytes) -> int:
    """Where the voxels end, by the NIfTI-1 or NIfTI-2 header (nifti1.h, nifti2.h)."""
    dims: tuple[Any, ...]
    for order in "<>":
        version = struct.unpack_from(f"{order}i", header)[0]
        if version == 348:
            dims = struct.unpack_from(f"{order}8h", header, 40)
            bits, offset = (
                struct.unpack_from(f"{order}h", header, 72)[0],
                struct.unpack_from(f"{order}f", header, 108)[0],
            )
            break
        if version == 540:
            dims = struct.unpack_from(f"{order}8q", header, 16)
            bits, offset = (
                struct.unpack_from(f"{order}h", header, 14)[0],
                struct.unpack_from(f"{order}q", header, 168)[0],
            )
            break
    else:
        raise ValueError("no NIfTI header")
    voxels = math.prod(max(int(size), 1) for size in dims[1 : dims[0] + 1])
    return int(offset) + voxels * int(bits) // 8


def _count(stream: IO[bytes], held: int, limit: int) -> int:
    while held <= limit and (block := stream.read(_BLOCK)):
        held += len(block)
    return held
