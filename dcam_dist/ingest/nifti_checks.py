"""Whether a NIfTI file is whole. ITK fills what is missing with zeros or old memory and says nothing."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

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


# by the size of the header: type and place of the dimensions, the bits of a voxel, and where the voxels begin
_FIELDS = {
    348: (("8h", 40), ("h", 72), ("f", 108)),
    540: (("8q", 16), ("h", 14), ("q", 168)),
}


def _expected_bytes(header: bytes) -> int:
    """Where the voxels end, by the NIfTI-1 or NIfTI-2 header (nifti1.h, nifti2.h)."""
    for order in "<>":
        fields = _FIELDS.get(struct.unpack_from(f"{order}i", header)[0])
        if fields is not None:
            break
    else:
        raise ValueError("no NIfTI header")
    dims, (bits,), (offset,) = (struct.unpack_from(order + kind, header, place) for kind, place in fields)
    voxels = math.prod(max(int(size), 1) for size in dims[1 : dims[0] + 1])
    return int(offset) + voxels * int(bits) // 8


def _count(stream: IO[bytes], held: int, limit: int) -> int:
    while held <= limit and (block := stream.read(_BLOCK)):
        held += len(block)
    return held
