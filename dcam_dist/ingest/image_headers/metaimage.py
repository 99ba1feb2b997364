"""MetaImage headers (itk.org/Wiki/ITK/MetaIO/Documentation)."""

import math
import re
from pathlib import Path

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.image_headers.layout import NUMBER, VoxelLayout, bad_header, detached_file, read_start, start_of

HEADER_BYTES = 64 << 10
_LINE = re.compile(rb"([A-Za-z][A-Za-z0-9_]{0,63})[ \t]*=[ \t]*([^\0]{0,500})")
_LENGTHS = re.compile(rb"[1-9][0-9]{0,9}(?:[ \t]+[1-9][0-9]{0,9})*")
_SKIP = re.compile(rb"-1|[0-9]{1,12}")
_NUMBERS = re.compile(rb"%s(?:[ \t]+%s)*" % (NUMBER, NUMBER))
_OF_NUMBERS = {"TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin", "CenterOfRotation"}
_OF_NUMBERS |= {"ElementSpacing", "ElementSize"}
_LAST = "ElementDataFile"
_READ = (
    "NDims",
    "DimSize",
    "ElementType",
    "ElementNumberOfChannels",
    "BinaryData",
    "CompressedData",
    "CompressedDataSize",
    "HeaderSize",
    _LAST,
)
_BY_FOLDED = {name.lower(): name for name in _READ}
_BYTES_OF = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8}
_BYTES_OF |= {f"U{name}": size for name, size in _BYTES_OF.items()} | {"FLOAT": 4, "DOUBLE": 8}

Fields = dict[str, bytes]


def metaimage_layout(path: Path, *, detached: bool) -> VoxelLayout:
    """Where the voxels of a MetaImage file lie.

    Args:
        path: The file, or the header of a detached one.
        detached: Whether the voxels are in a file of their own, which the header then names.

    Raises:
        CaseRejected: ``unreadable``, ``unsupported_format`` or ``missing_file``.
    """
    fields, end = _fields(path)
    if not detached and fields[_LAST] != b"LOCAL":
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "a .mha file must hold its voxels itself")
    data = detached_file(path, fields[_LAST]) if detached else path
    size, voxel_bytes = _shape(fields)
    skip = fields.get("HeaderSize", b"0")
    compressed = _truth(fields.get("CompressedData", b"False"))
    if not _SKIP.fullmatch(skip) or (int(skip) != 0 and (compressed or not detached)):
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "HeaderSize goes with raw voxels in a file of their own")
    if not _truth(fields.get("BinaryData", b"True")):
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "voxels written as text")
    if compressed:
        stored = fields.get("CompressedDataSize")
        if stored is not None and not re.fullmatch(rb"[0-9]{1,12}", stored):
            raise bad_header("an impossible CompressedDataSize")
        start = 0 if detached else end
        return VoxelLayout(size, voxel_bytes, data, start, "zlib", stored_bytes=None if stored is None else int(stored))
    begin = start_of(data, int(skip), math.prod(size) * voxel_bytes) if detached else end
    return VoxelLayout(size, voxel_bytes, data, begin)


def _fields(path: Path) -> tuple[Fields, int]:
    """The fields that are read, and where the line of the last one ends."""
    content = read_start(path, HEADER_BYTES)
    fields: Fields = {}
    end = 0
    for line in content.split(b"\n"):
        end += len(line) + 1
        if line.strip():
            _add(fields, line.strip())
        if _LAST in fields:
            return fields, end
    raise bad_header("it names no data file")


def _add(fields: Fields, line: bytes) -> None:
    match = _LINE.fullmatch(line)
    if match is None:
        raise bad_header("a line is no Key = Value")
    name, value = match[1].decode(), match[2].strip()
    if name in _OF_NUMBERS and not _NUMBERS.fullmatch(value):
        raise CaseRejected(Reason.BAD_GEOMETRY, "the header's geometry is no row of finite numbers")
    known = _BY_FOLDED.get(name.lower())
    if known is None:
        return
    if name != known or name in fields:
        raise bad_header("a field is given twice or misspelt")
    fields[name] = value


def _shape(fields: Fields) -> tuple[tuple[int, ...], int]:
    sizes = fields.get("DimSize", b"")
    channels = fields.get("ElementNumberOfChannels", b"1")
    voxel_bytes = _BYTES_OF.get(fields.get("ElementType", b"").decode("latin-1").removeprefix("MET_"))
    if voxel_bytes is None or not _LENGTHS.fullmatch(sizes) or not re.fullmatch(rb"[1-9][0-9]?", channels):
        raise bad_header("the type is unknown, or the sizes are no numbers")
    size = tuple(int(length) for length in sizes.split())
    if fields.get("NDims") != str(len(size)).encode():
        raise bad_header("as many sizes as dimensions are needed")
    return (int(channels), *size), voxel_bytes


def _truth(value: bytes) -> bool:
    if value.lower() not in (b"true", b"false"):
        raise bad_header("neither True nor False")
    return value.lower() == b"true"
