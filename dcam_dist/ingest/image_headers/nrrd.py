"""NRRD headers (teem.sourceforge.net/nrrd/format.html).

The library under ITK copies lines that it does not understand into buffers of fixed length. So it is shown none.
"""

import math
import re
from pathlib import Path

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.image_headers.layout import NUMBER, VoxelLayout, bad_header, detached_file, read_start, start_of

HEADER_BYTES = 256 << 10
"""Longest header: the time that teem takes grows with the square of its lines."""
_MAGIC = re.compile(rb"NRRD000[1-5]")
_LENGTHS = re.compile(rb"[1-9][0-9]{0,9}(?:[ \t]+[1-9][0-9]{0,9})*")
_SKIP = re.compile(rb"-1|[0-9]{1,12}")
_READ = {b"type", b"dimension", b"sizes", b"encoding", b"datafile", b"lineskip", b"byteskip"}
_VECTOR = rb"(?:none|\([ ]?%s(?:[ ]?,[ ]?%s){0,3}[ ]?\))" % (NUMBER, NUMBER)
_VECTORS = re.compile(rb"%s(?:[ ]+%s){0,3}" % (_VECTOR, _VECTOR))
_OF_VECTORS = {b"spacedirections", b"spaceorigin", b"measurementframe"}
_OTHERS = {
    *(b"endian", b"space", b"spacedimension", b"kinds", b"centers", b"centerings", b"labels", b"units", b"spaceunits"),
    *(b"spacings", b"thicknesses", b"axismins", b"axismaxs", b"min", b"max", b"oldmin", b"oldmax", b"sampleunits"),
    *(b"number", b"content"),
}
_LONGEST = 120
_LONGEST_OF = {b"content": 1000, b"datafile": 255}
_TYPES = {
    1: "signed char,int8,int8_t,uchar,unsigned char,uint8,uint8_t",
    2: "short,short int,signed short,signed short int,int16,int16_t,"
    "ushort,unsigned short,unsigned short int,uint16,uint16_t",
    4: "int,signed int,int32,int32_t,uint,unsigned int,uint32,uint32_t,float",
    8: "longlong,long long,long long int,signed long long,signed long long int,int64,int64_t,"
    "ulonglong,unsigned long long,unsigned long long int,uint64,uint64_t,double",
}
_BYTES_OF = {name.encode(): size for size, names in _TYPES.items() for name in names.split(",")}

Fields = dict[bytes, bytes]


def nrrd_layout(path: Path, *, detached: bool) -> VoxelLayout:
    """Where the voxels of an NRRD file lie.

    Args:
        path: The file, or the header of a detached one.
        detached: Whether the voxels are in a file of their own, which the header then names.

    Raises:
        CaseRejected: ``unreadable``, ``unsupported_format`` or ``missing_file``.
    """
    lines, start = _lines(path, detached=detached)
    fields = _fields(lines)
    if detached != (b"datafile" in fields):
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "a .nhdr file must name its data file, and a .nrrd file none")
    data = detached_file(path, fields[b"datafile"]) if detached else path
    size, voxel_bytes = _shape(fields)
    encoding = fields.get(b"encoding", b"").lower()
    skip = fields.get(b"byteskip", b"0")
    if not _SKIP.fullmatch(skip) or fields.get(b"lineskip", b"0") != b"0":
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "the header skips lines, or an impossible number of bytes")
    if encoding in (b"gzip", b"gz") and int(skip) == 0:
        return VoxelLayout(size, voxel_bytes, data, 0 if detached else start, "gzip")
    if encoding != b"raw" or (int(skip) != 0 and not detached):
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "NRRD voxels must be raw or gzip, without a skip inside a .nrrd")
    begin = start_of(data, int(skip), math.prod(size) * voxel_bytes) if detached else start
    return VoxelLayout(size, voxel_bytes, data, begin)


def _lines(path: Path, *, detached: bool) -> tuple[list[bytes], int]:
    """The header's lines, and where the first empty line ends, after which the voxels begin."""
    content = read_start(path, HEADER_BYTES)
    end = re.search(rb"\n\r?\n", content)
    if end is None and (not detached or len(content) == HEADER_BYTES):
        raise bad_header(f"it does not end within {HEADER_BYTES >> 10} kB")
    header = content[: end.start()] if end else content.removesuffix(b"\n")
    lines = [line.removesuffix(b"\r") for line in header.split(b"\n")]
    if not _MAGIC.fullmatch(lines[0]) or b"\0" in header:
        raise bad_header("no NRRD header")
    return lines[1:], end.end() if end else len(content)


def _fields(lines: list[bytes]) -> Fields:
    fields: Fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        if line.startswith(b"#") or value.startswith(b"="):  # "key:=value" is no field
            continue
        name, value = name.lower().replace(b" ", b""), value.strip()
        if name in fields:
            raise bad_header("a field is given twice")
        if not _harmless(name, value):
            raise bad_header("a line is no comment, key or known field")
        fields[name] = value
    return fields


def _harmless(name: bytes, value: bytes) -> bool:
    if name in _OF_VECTORS:
        return _VECTORS.fullmatch(value) is not None
    return name in _READ | _OTHERS and len(value) <= _LONGEST_OF.get(name, _LONGEST)


def _shape(fields: Fields) -> tuple[tuple[int, ...], int]:
    sizes, voxel_bytes = fields.get(b"sizes", b""), _BYTES_OF.get(fields.get(b"type", b"").lower())
    if voxel_bytes is None or not _LENGTHS.fullmatch(sizes):
        raise bad_header("the type is unknown, or the sizes are no numbers")
    size = tuple(int(length) for length in sizes.split())
    if fields.get(b"dimension") != str(len(size)).encode():
        raise bad_header("as many sizes as dimensions are needed")
    return size, voxel_bytes
