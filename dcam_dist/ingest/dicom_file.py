"""One DICOM file: its header elements, and where its pixels lie. No pixel is read here.

pydicom parses the elements, but the file meta group and the encoding are dealt with here: pydicom's own readers inflate
a deflated file without a limit.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.filereader import read_dataset
from pydicom.values import converters

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
INTEGER_PIXELS = 0x7FE00010
INFLATED_LIMIT = 64 * 2**20
"""Deflated files that inflate to more bytes are refused: eight headers are read at a time."""
HEADER_LIMIT = 16 * 2**20
"""Bytes before the pixels. CT headers have some 10 kB, and enhanced ones 1 to 4 kB a frame more."""
ELEMENT_LIMIT = 100_000
"""Elements before the pixels, nested ones of undefined length among them. CT headers have some hundred."""

_READS_AN_ELEMENT = 3
_PIXELS = {INTEGER_PIXELS, 0x7FE00009, 0x7FE00008}  # the other two: floating-point pixels
_UNDEFINED = 0xFFFFFFFF
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_DELIMITER_BYTES = struct.pack("<HHL", *_DELIMITER, 0)
_MAX_FRAGMENTS = 100_000
_LARGE_READ = 1 << 20
_PREAMBLE, _MAGIC = 128, b"DICM"
_EXPLICIT_VRS = {vr.value for vr in converters}


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixels of a file lie.

    Attributes:
        tag: ``INTEGER_PIXELS``, or one of the floating-point elements.
        vr: Value representation, empty in implicit files.
        offset: First byte of the value; counted in the inflated body of a deflated file.
        length: Bytes of the value that the file holds.
        encapsulated: The value is a sequence of fragments (compressed pixels).
        fragments: Offset and length of each fragment.
        frame_starts: The basic offset table: where frames begin, counted from the first fragment.
        whole: The value ends where the file says, within the file.
    """

    tag: int
    vr: str
    offset: int
    length: int
    encapsulated: bool = False
    fragments: tuple[tuple[int, int], ...] = ()
    frame_starts: tuple[int, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The wanted elements of one file; ``truncated`` when the file ends within an element."""

    dataset: Any
    syntax: str
    big_endian: bool
    pixels: PixelElement | None
    truncated: bool


def has_magic(path: Path) -> bool | None:
    """Whether a file bears DICOM's magic number; ``None`` where it cannot be opened."""
    try:
        with path.open("rb") as stream:
            return stream.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return None


def parse_file(path: Path, tags: Sequence[int]) -> ParsedFile:
    """Read the given elements up to the pixels.

    Raises:
        Exception: Of almost any type, as pydicom does on malformed files; ``ValueError`` on one that inflates to more
            than ``INFLATED_LIMIT`` bytes, or whose header is beyond ``HEADER_LIMIT`` or ``ELEMENT_LIMIT``.
    """
    with path.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        stream = cast(BinaryIO, _BoundedReads(opened, size))
        syntax = _read_syntax(stream)
        if syntax != DEFLATED:
            return _parse_body(stream, size, syntax, tags)
        body, whole = _inflate(opened)
        inflated = cast(BinaryIO, _BoundedReads(io.BytesIO(body), len(body)))
        parsed = _parse_body(inflated, len(body), syntax, tags)
    return ParsedFile(parsed.dataset, syntax, False, parsed.pixels, parsed.truncated or not whole)


def inflated_body(path: Path) -> bytes:
    """The inflated body of a deflated file, to which its pixels' offset refers.

    Raises:
        ValueError: When it is too large.
    """
    with path.open("rb") as stream:
        _read_syntax(stream)
        return _inflate(stream)[0]


class _BoundedReads:
    """A header of which no more is read than the file holds, and no more than any header has.

    Python allocates what a length asks for, and pydicom takes its time over each of millions of elements.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.whole = stream
        self._size = size
        self._reads, self._bytes = 0, 0
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, length: int = -1) -> bytes:
        if length > _LARGE_READ:
            length = min(length, max(self._size - self.whole.tell(), 0))
        found = self.whole.read(min(length, HEADER_LIMIT + 1) if length >= 0 else HEADER_LIMIT + 1)
        self._reads += 1
        self._bytes += len(found)
        if self._reads > _READS_AN_ELEMENT * ELEMENT_LIMIT or self._bytes > HEADER_LIMIT:
            raise ValueError("a header beyond the limits")
        return found


def _inflate(stream: BinaryIO) -> tuple[bytes, bool]:
    """The rest of a stream inflated, and whether the deflated data came to its end."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(stream.read(INFLATED_LIMIT), INFLATED_LIMIT)
    if len(body) >= INFLATED_LIMIT:
        raise ValueError("inflates beyond the limit")
    return body, inflater.eof


def _read_syntax(stream: BinaryIO) -> str:
    """Read the file meta group and leave the stream at the first element behind it."""
    if stream.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] != _MAGIC:
        stream.seek(0)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    return str(meta.get("TransferSyntaxUID", None) or "")


def _parse_body(stream: BinaryIO, size: int, syntax: str, tags: Sequence[int]) -> ParsedFile:
    implicit, little = _encoding(stream, syntax)
    last: list[tuple[int, str | None, int, int]] = []
    dataset = read_dataset(stream, implicit, little, stop_when=_recorder(stream, last), specific_tags=list(tags))
    if not last:
        return ParsedFile(dataset, syntax, not little, None, truncated=True)
    tag, vr, length, offset = last[0]
    if tag not in _PIXELS:
        return ParsedFile(dataset, syntax, not little, None, _ends_within(stream, offset, length, size))
    if offset > HEADER_LIMIT:
        raise ValueError("a header beyond the limits")
    whole = stream.whole  # type: ignore[attr-defined]
    return ParsedFile(dataset, syntax, not little, _pixels(whole, tag, vr or "", offset, length, size), False)


def _recorder(stream: BinaryIO, last: list[tuple[int, str | None, int, int]]) -> Callable[[int, str | None, int], bool]:
    """A stop condition that stops at the pixels and keeps what it saw last."""

    def stop(tag: int, vr: str | None, length: int) -> bool:
        last[:] = [(int(tag), vr, length, stream.tell())]
        return tag in _PIXELS

    return stop


def _encoding(stream: BinaryIO, syntax: str) -> tuple[bool, bool]:
    """Implicit VR, little-endian; guessed from the first element where the syntax is not given."""
    if syntax:
        return syntax == IMPLICIT, syntax != BIG_ENDIAN
    start = stream.tell()
    first = stream.read(6)
    stream.seek(start)
    if len(first) < 6 or first[4:].decode("latin-1") not in _EXPLICIT_VRS:
        return True, True
    return False, int.from_bytes(first[:2], "little") < 0x0400


def _ends_within(stream: BinaryIO, offset: int, length: int, size: int) -> bool:
    """Whether a file without pixels ends within its last element."""
    if length != _UNDEFINED:
        return offset + length > size
    stream.seek(max(size - len(_DELIMITER_BYTES), 0))
    return stream.read() != _DELIMITER_BYTES


def _pixels(stream: BinaryIO, tag: int, vr: str, offset: int, length: int, size: int) -> PixelElement:
    if length != _UNDEFINED:
        return PixelElement(tag, vr, offset, min(length, size - offset), whole=offset + length <= size)
    items, whole = _items(stream, offset, size)
    starts: tuple[int, ...] = ()
    if items:
        stream.seek(items[0][0])
        table = stream.read(items[0][1])
        starts = struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4])
    return PixelElement(tag, vr, offset, size - offset, True, tuple(items[1:]), starts, whole)


def _items(stream: BinaryIO, offset: int, size: int) -> tuple[list[tuple[int, int]], bool]:
    """Offset and length of each item, the offset table first, and whether the sequence is closed."""
    found: list[tuple[int, int]] = []
    while offset + 8 <= size and len(found) <= _MAX_FRAGMENTS:
        stream.seek(offset)
        group, element, length = struct.unpack("<HHL", stream.read(8))
        offset += 8
        if (group, element) == _DELIMITER:
            return found, True
        if (group, element) != _ITEM or offset + length > size:
            break
        found.append((offset, length))
        offset += length
    return found, False
