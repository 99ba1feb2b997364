"""The process that decodes compressed DICOM frames: ``python -m dcam_dist.ingest.dicom_decoder``.

Compressed pixels are read by native code, which a malformed stream may crash, hang or make ask for all memory. So it
runs apart, under limits, and is handed no DICOM header but one written here, with the compressed bytes of one frame.

The job comes as JSON on the standard input. The stored values of the frames go to the standard output, raw and
little-endian, one frame after the other. Nothing is imported before the limits are set.
"""

import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

CANNOT_DECODE, OUT_OF_MEMORY = 3, 4
"""Exit codes."""

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_ANY_UID = "2.25.1"
_LONG_VRS = (b"OB", b"OW")


def main() -> int:
    """Decode the job on the standard input."""
    job = json.load(sys.stdin.buffer)
    _limit(int(job["memory_bytes"]), int(job["cpu_seconds"]))
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a native library prints must not be taken for pixels
    try:
        for frame in job["frames"]:
            results.write(_decode(frame))
        results.flush()
    except MemoryError:
        return OUT_OF_MEMORY
    except Exception:  # the parent says in one line what this means; the messages here hold paths
        return CANNOT_DECODE
    return 0


def encapsulate(frame: dict[str, Any], fragments: list[bytes]) -> bytes:
    """A DICOM file of one compressed frame with nothing in its header but what decoding needs.

    Args:
        frame: ``syntax``, ``rows``, ``columns``, ``bits``, ``bits_stored`` and ``signed``.
        fragments: The frame's compressed bytes.
    """
    meta = b"".join(
        [
            _element(0x0002, 0x0001, b"OB", b"\0\1"),
            _element(0x0002, 0x0002, b"UI", _CT_IMAGE.encode()),
            _element(0x0002, 0x0003, b"UI", _ANY_UID.encode()),
            _element(0x0002, 0x0010, b"UI", str(frame["syntax"]).encode("ascii")),
        ]
    )
    numbers = {0x0010: frame["rows"], 0x0011: frame["columns"], 0x0100: frame["bits"], 0x0101: frame["bits_stored"]}
    numbers |= {0x0102: frame["bits_stored"] - 1, 0x0103: frame["signed"]}
    body = [
        _element(0x0008, 0x0016, b"UI", _CT_IMAGE.encode()),
        _element(0x0008, 0x0018, b"UI", _ANY_UID.encode()),
        _element(0x0028, 0x0002, b"US", struct.pack("<H", 1)),
        _element(0x0028, 0x0004, b"CS", b"MONOCHROME2"),
        *(_element(0x0028, element, b"US", struct.pack("<H", value)) for element, value in numbers.items()),
        struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF),
        *(struct.pack("<HHL", 0xFFFE, 0xE000, len(fragment)) + fragment for fragment in (b"", *fragments)),
        struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
    ]
    length = _element(0x0002, 0x0000, b"UL", struct.pack("<L", len(meta)))
    return b"\0" * 128 + b"DICM" + length + meta + b"".join(body)


def _element(group: int, element: int, vr: bytes, value: bytes) -> bytes:
    padded = value + (b" " if vr == b"CS" else b"\0") * (len(value) % 2)
    if vr in _LONG_VRS:
        return struct.pack("<HH2sHL", group, element, vr, 0, len(padded)) + padded
    return struct.pack("<HH2sH", group, element, vr, len(padded)) + padded


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's scan


def _decode(frame: dict[str, Any]) -> bytes:
    import SimpleITK as sitk

    with open(frame["path"], "rb") as stream:  # noqa: PTH123 - pathlib is one import more
        content = encapsulate(frame, [_part(stream, *part) for part in frame["fragments"]])
    file = os.memfd_create("frame")  # SimpleITK wants a file name
    try:
        _write_all(file, content)
        image = sitk.ReadImage(f"/proc/self/fd/{file}", imageIO="GDCMImageIO")
    finally:
        os.close(file)
    values = sitk.GetArrayFromImage(image).squeeze()
    if values.shape != (frame["rows"], frame["columns"]) or values.dtype.kind not in "iu":
        raise ValueError("another shape or kind than the header says")
    return values.astype(f"<u{frame['bits'] // 8}").tobytes()  # type: ignore[no-any-return]


def _part(stream: BinaryIO, offset: int, length: int) -> bytes:
    stream.seek(offset)
    return stream.read(length)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


if __name__ == "__main__":
    sys.exit(main())
