"""NIfTI-1 headers (nifti1.h). ITK reads no NIfTI-2."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Literal

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.image_headers.layout import SLACK_BYTES, VoxelLayout, bad_header

_LENGTH, _LENGTH_2 = 348, 540
_MAGIC = b"n+1\0"
_FIRST_VOXEL = 352
_LARGEST = 1e9
_ORDERS: tuple[tuple[str, Literal["little", "big"]], ...] = (("<", "little"), (">", "big"))
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_BITS |= {1536: 128, 1792: 128, 2048: 256, 2304: 32}


def nifti_layout(path: Path) -> VoxelLayout:
    """Where the voxels of a ``.nii`` or ``.nii.gz`` file lie.

    Raises:
        CaseRejected: ``unreadable``, ``truncated_file``, ``bad_geometry``, or ``unsupported_format`` for NIfTI-2.
    """
    compressed = path.name.lower().endswith(".gz")
    header = _read(path, compressed=compressed)
    order = _byte_order(header)
    if len(header) < _FIRST_VOXEL:
        raise CaseRejected(Reason.TRUNCATED, "the file ends within its header")
    dims = struct.unpack_from(f"{order}8h", header, 40)
    kind, bits = struct.unpack_from(f"{order}2h", header, 70)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", header, 108)
    if header[344:348] != _MAGIC:
        raise bad_header("the magic number is not that of a NIfTI file with its voxels inside")
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise bad_header("impossible dimensions")
    if _BITS.get(kind) != bits:
        raise bad_header("data type and bits a voxel do not agree")
    if not _FIRST_VOXEL <= offset <= SLACK_BYTES:
        raise bad_header("the voxels begin at an impossible place")
    geometry = struct.unpack_from(f"{order}3f", header, 80) + struct.unpack_from(f"{order}18f", header, 256)
    if not all(abs(number) < _LARGEST for number in geometry):  # ITK never returns from a matrix of infinities
        raise CaseRejected(Reason.BAD_GEOMETRY, "the header's geometry is not finite")
    if slope == 0 and math.isfinite(intercept) and intercept != 0:  # ITK and the standard disagree on what this means
        raise bad_header("an intercept without a slope")
    return VoxelLayout(
        size=dims[1 : dims[0] + 1],
        voxel_bytes=bits // 8,
        data=path,
        start=0,
        encoding="gzip" if compressed else "raw",
        lead=int(offset),
    )


def _read(path: Path, *, compressed: bool) -> bytes:
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
            header: bytes = stream.read(_FIRST_VOXEL)
    except (OSError, EOFError, zlib.error):
        raise bad_header("it cannot be read") from None
    return header


def _byte_order(header: bytes) -> str:
    """The byte order, told by the header's own length."""
    for order, name in _ORDERS:
        length = int.from_bytes(header[:4], name)
        if length == _LENGTH_2:
            raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "NIfTI-2; save the scan as NIfTI-1")
        if length == _LENGTH:
            return order
    raise bad_header("no NIfTI header")
