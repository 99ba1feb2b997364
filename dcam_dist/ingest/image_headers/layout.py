"""Where the voxels of an image file lie, and whether all of them are there.

ITK fills what is missing with zeros or old memory, checks no checksum of NRRD, and takes what a damaged MetaImage
stream leaves behind for voxels, mostly without a word. So every file is counted here first.
"""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from dcam_dist.errors import CaseRejected, Reason

SLACK_BYTES = 64 << 20
"""Bytes that may come before or after the voxels; more is no image but a decompression bomb."""
NUMBER = rb"[-+]?(?:[0-9]{1,9}\.?[0-9]{0,20}|\.[0-9]{1,20})(?:[eE](?:-[0-9]{1,3}|\+?0?[0-9]))?"
"""A number of a header's geometry: ITK never returns from a matrix of infinities."""
_BLOCK = 1 << 20
_LONGEST_NAME = 255
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS


@dataclass(frozen=True)
class VoxelLayout:
    """Where the voxels of an image lie.

    Attributes:
        size: Length of every axis, those of vector components among them.
        voxel_bytes: Bytes of one value.
        data: The file that holds them.
        start: Where in the file they begin, or the compressed stream that holds them.
        encoding: ``gzip`` has a checksum at the end (CRC-32), and so has ``zlib`` (Adler-32).
        lead: Bytes of the decompressed stream before the first voxel.
        stored_bytes: Length of the compressed stream, where the header gives it.
    """

    size: tuple[int, ...]
    voxel_bytes: int
    data: Path
    start: int
    encoding: Literal["raw", "gzip", "zlib"] = "raw"
    lead: int = 0
    stored_bytes: int | None = None

    @property
    def expected_bytes(self) -> int:
        """Bytes from the start to the last voxel, decompressed."""
        return self.lead + math.prod(self.size) * self.voxel_bytes

    @property
    def most_bytes(self) -> int:
        """With more than this the file is no image."""
        return self.expected_bytes + SLACK_BYTES


def check_whole(layout: VoxelLayout) -> None:
    """Count the bytes that a file holds against its header, and let its checksum be checked.

    Raises:
        CaseRejected: ``truncated_file`` or ``unreadable``.
    """
    try:
        with layout.data.open("rb") as stream:
            stream.seek(layout.start)
            held = _COUNTS[layout.encoding](stream, layout)
    except EOFError:
        raise CaseRejected(Reason.TRUNCATED, "the compressed voxels end too early") from None
    except (OSError, zlib.error):
        raise CaseRejected(Reason.UNREADABLE, "the compressed voxels are damaged") from None
    announced = f"the header announces {layout.expected_bytes} bytes, the file holds"
    if held < layout.expected_bytes:
        raise CaseRejected(Reason.TRUNCATED, f"{announced} {held}")
    if held > layout.most_bytes:
        raise CaseRejected(Reason.UNREADABLE, f"{announced} far more")


def start_of(data: Path, skip: int, expected_bytes: int) -> int:
    """Where raw voxels begin in a file of their own: after ``skip`` bytes, or with -1 so that they end with the file.

    Raises:
        CaseRejected: ``truncated_file`` when the file is too short, ``unsupported_format`` for other negative numbers.
    """
    if skip >= 0:
        return skip
    start = data.stat().st_size - expected_bytes
    if skip != -1:
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "the header skips a negative number of bytes")
    if start < 0:
        raise CaseRejected(Reason.TRUNCATED, "the data file is shorter than the header says")
    return start


def detached_file(header: Path, name: bytes) -> Path:
    """The file that a detached header names for its voxels.

    Raises:
        CaseRejected: ``unsupported_format`` when that is not one file in the header's own folder, ``missing_file`` when
            it is not there.
    """
    text = name.decode("utf-8", "surrogateescape")
    data = header.parent / text
    several = text.startswith("LIST") or "%" in text  # how headers name several files; "%" goes to C's sprintf
    odd = not text or "\0" in text or len(name) > _LONGEST_NAME
    if odd or several or data.resolve().parent != header.parent.resolve():
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "a detached header must name one data file in its own folder")
    if not data.is_file():
        raise CaseRejected(Reason.MISSING_FILE, "the data file that the image header names does not exist")
    return data


def read_start(path: Path, length: int) -> bytes:
    """The first bytes of a file.

    Raises:
        CaseRejected: ``missing_file`` when it cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(length)
    except OSError:
        raise CaseRejected(Reason.MISSING_FILE, "the image header cannot be read") from None


def bad_header(what: str) -> CaseRejected:
    """The error of a header that says nothing sensible."""
    return CaseRejected(Reason.UNREADABLE, f"the image header is malformed: {what}")


def _count_raw(stream: IO[bytes], layout: VoxelLayout) -> int:
    return min(stream.seek(0, 2) - layout.start, layout.most_bytes + 1)


def _count_gzip(stream: IO[bytes], layout: VoxelLayout) -> int:
    held = 0
    with cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb")) as inflated:
        while held <= layout.most_bytes and (block := inflated.read(_BLOCK)):
            held += len(block)
    return held


def _count_zlib(stream: IO[bytes], layout: VoxelLayout) -> int:
    inflater, held = zlib.decompressobj(_ZLIB_OR_GZIP), 0
    left = layout.data.stat().st_size - layout.start
    if layout.stored_bytes is not None:
        if layout.stored_bytes > left:
            raise EOFError
        left = layout.stored_bytes
    while held <= layout.most_bytes and not inflater.eof:
        given = inflater.unconsumed_tail
        if not given:
            given = stream.read(min(_BLOCK, left))
            left -= len(given)
        block = inflater.decompress(given, _BLOCK)
        if not given and not block:
            raise EOFError
        held += len(block)
    return held


_COUNTS = {"raw": _count_raw, "gzip": _count_gzip, "zlib": _count_zlib}
