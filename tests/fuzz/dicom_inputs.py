"""DICOM series in which one to three slices are odd: elements, value representations, lengths, syntaxes, bytes."""

import copy
import io
import struct
import warnings
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pydicom
from fuzz.mutate import ODD_NUMBERS, ODD_TEXTS, mutate_bytes, odd_int
from fuzz.scan_path import run_scans
from fuzz.scratch import CANARY, Input, Target
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support.ct_files import chest_hu, geometry, series

SHAPE, SPACING_MM = (10, 16, 16), (20.0, 18.0, 18.0)
COMPRESSED_SHARE = 0.01
"""Inputs with compressed pixels: each starts a decoding process."""
LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OD", b"OF", b"OL"}
Elements = dict[int, tuple[bytes, bytes]]
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("ImageType", "PatientID", "PatientName", "SpecificCharacterSet", "Manufacturer", "ConvolutionKernel", "KVP"),
    *("SliceThickness", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows"),
    *("Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "NumberOfFrames", "BurnedInAnnotation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "PlanarConfiguration", "ContrastBolusAgent", "RescaleType"),
    *("LossyImageCompression", "PatientBirthDate", "AcquisitionDateTime", "RequestAttributesSequence"),
)
VRS = ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OW", "PN", "SH", "SL", "SQ", "SS")
VRS += ("ST", "TM", "UI", "UL", "UN", "US", "UT", "OD", "OF", "OL", "UC", "UR", "ZZ")
SYNTAXES = {
    **{f"1.2.840.10008.1.2{end}": "native" for end in ("", ".1", ".2", ".1.99")},
    **{
        f"1.2.840.10008.1.2.{end}": "compressed"
        for end in ("5", "4.50", "4.51", "4.57", "4.70", "4.80", "4.90", "4.100")
    },
    **dict.fromkeys(("1.2.3", "", "x" * 70, "1.2.840.10008.1.2.4.999"), "unknown"),
}
SOP_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.7", "1.2", "")
NUMBERS = (
    *ODD_NUMBERS,
    "1\\2",
    "1\\2\\3",
    "0\\0\\0\\0\\0\\0",
    "nan\\nan\\nan",
    "1\\0\\0\\0\\1\\0",
    "1e308\\1e308",
    "-20",
    "16",
)
COMPRESSED = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90")
COMPRESSED += ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.100")
ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"


def prepare(folder: Path) -> None:
    """Write one valid series, the same in every process."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(_series()):
        (folder / f"{number:02}.dcm").write_bytes(_encoded(dataset))


def make(made: Input, base: Path) -> None:
    """The series with odd slices in it."""
    rng = made.rng
    files = dict(_files(base))
    if rng.random() < COMPRESSED_SHARE:
        made.mutation = _odd_fragments(rng, files)
    elif rng.random() < 0.03:
        made.mutation = _odd_enhanced(rng, files)
    else:
        victims = rng.sample(sorted(files), rng.choice((1, 2, 3, len(files), len(files))))
        alike = len(victims) == len(files) or rng.random() < 0.3
        seed = rng.random()
        for name in victims:  # the same oddity in all of them, or another in each
            files[name], said = _odd_slice(Random(seed) if alike else rng, files[name], files)
            made.mutation = f"{made.mutation}; {name[:2]}: {said}" if len(made.mutation) < 500 else made.mutation
        if rng.random() < 0.05:
            del files[rng.choice(sorted(files))]
    folder = made.scans / CANARY
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{CANARY}-{name}").write_bytes(content)


def _odd_slice(rng: Random, content: bytes, files: dict[str, bytes]) -> tuple[bytes, str]:
    way = rng.random()
    if way < 0.5:
        return _odd_elements(rng, content)
    if way < 0.6:
        return _odd_syntax(rng, content)
    if way < 0.75:
        return _odd_structure(rng, content)
    return mutate_bytes(rng, content, list(files.values()), first=rng.choice((0, 132, 132)))


def _odd_elements(rng: Random, content: bytes) -> tuple[bytes, str]:
    elements = {
        tag: (content[place + 4 : place + 6], _value(content, place, long)) for tag, place, long in _elements(content)
    }
    said = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice(TAGS)
        change = rng.choice((_drop, _odd_text, _odd_text, _odd_binary, _other_vr, _nested, _several))
        change(rng, elements, tag_for_keyword(name))
        said.append(f"{change.__name__.strip('_')} {name}")
    in_order = sorted(elements) if rng.random() < 0.9 else rng.sample(sorted(elements), len(elements))
    return content[:132] + b"".join(_element(tag, *elements[tag]) for tag in in_order), ", ".join(said)


def _drop(_: Random, elements: Elements, tag: int) -> None:
    elements.pop(tag, None)


def _odd_text(rng: Random, elements: Elements, tag: int) -> None:
    value = rng.choice((*NUMBERS, *ODD_TEXTS, CANARY, *SOP_CLASSES)).encode("utf-8", "surrogatepass")
    own = elements.get(tag, (b"LO",))[0]
    elements[tag] = rng.choice((own, own, b"DS", b"LO", b"UT", b"UI", b"CS", b"IS")), value + b" " * (len(value) % 2)


def _odd_binary(rng: Random, elements: Elements, tag: int) -> None:
    elements[tag] = b"US", struct.pack("<H", odd_int(rng, 16, signed=False))


def _other_vr(rng: Random, elements: Elements, tag: int) -> None:
    content = rng.choice((b"", b"\0", b"\1\0", b"\0" * 8, rng.randbytes(7), b"3.0", b"20010101", b"\xff" * 16))
    elements[tag] = rng.choice(VRS).encode(), content


def _nested(rng: Random, elements: Elements, tag: int) -> None:
    """Sequences within sequences, of given or open lengths."""
    content, open_ended = b"", rng.random() < 0.3
    for _ in range(rng.choice((1, 5, 50, 400, 2000))):
        if open_ended:
            item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
        else:
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content
        content = _element(0x00400275, b"SQ", item)
    elements[tag] = b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def _several(rng: Random, elements: Elements, tag: int) -> None:
    value = b"\\".join([rng.choice((b"1", b"0.5", b"-3", b""))] * rng.choice((2, 3, 6, 2000)))
    elements[tag] = b"DS", value + b" " * (len(value) % 2)


def _odd_syntax(rng: Random, content: bytes) -> tuple[bytes, str]:
    """A transfer syntax that the rest of the file does not keep to; seldom a compressed one, which costs a process."""
    names = [name for name, kind in SYNTAXES.items() if kind != "compressed" or rng.random() < 0.3]
    name = rng.choice(names)
    return _with_syntax(content, name), f"syntax {name}"


def _with_syntax(content: bytes, name: str) -> bytes:
    old = b"UI\x14\x001.2.840.10008.1.2.1\x00"
    new = name.encode() + b"\0" * (len(name) % 2)
    start = content.index(old)
    return content[:start] + b"UI" + struct.pack("<H", len(new)) + new + content[start + len(old) :]


def _odd_structure(rng: Random, content: bytes) -> tuple[bytes, str]:
    """Lengths, representations and tags in place; explicit little-endian elements are walked over."""
    body, places = bytearray(content), _elements(content)
    said = []
    for _ in range(rng.choice((1, 1, 2))):
        tag, place, long = rng.choice(places)
        way = rng.choice(("length", "length", "vr", "tag", "undefined", "cut", "group"))
        said.append(f"{way} of {tag:08x}")
        if way == "length":
            _write(body, place + (8 if long else 6), odd_int(rng, 32 if long else 16, signed=False), 4 if long else 2)
        elif way == "vr":
            body[place + 4 : place + 6] = rng.choice(VRS).encode()
        elif way == "tag":
            _write(body, place + rng.choice((0, 2)), odd_int(rng, 16, signed=False), 2)
        elif way == "undefined" and long:
            _write(body, place + 8, 0xFFFFFFFF, 4)
        elif way == "group":
            return bytes(body[:place]) + struct.pack(
                "<HH2sHL", tag >> 16, 0, b"UL", 4, odd_int(rng, 32, signed=False)
            ) + bytes(body[place:]), said[-1]
        elif way == "cut":
            return bytes(body[: place + rng.randrange(13)]), ", ".join(said)
    return bytes(body), ", ".join(said)


def _write(body: bytearray, place: int, value: int, size: int) -> None:
    body[place : place + size] = value.to_bytes(size, "little")


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    if vr in LONG:
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, min(len(value), 0xFFFE)) + value[:0xFFFE]


def _value(content: bytes, place: int, long: bool) -> bytes:
    length = struct.unpack_from("<L" if long else "<H", content, place + (8 if long else 6))[0]
    start = place + (12 if long else 8)
    return content[start : start + length]


@cache
def _elements(content: bytes) -> tuple[tuple[int, int, bool], ...]:
    """Tag, place and kind of length of each element of a flat explicit little-endian file."""
    place, found = 132, []
    while place + 8 <= len(content):
        group, element, vr = struct.unpack_from("<HH2s", content, place)
        long = vr in LONG
        length = struct.unpack_from("<L" if long else "<H", content, place + (8 if long else 6))[0]
        found.append((group << 16 | element, place, long))
        place += (12 if long else 8) + length
    return tuple(found)


def _odd_fragments(rng: Random, files: dict[str, bytes]) -> str:
    """Compressed pixels that are none."""
    syntax = rng.choice(COMPRESSED)
    for name, content in files.items():
        pixels = content.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
        pieces = [b"", *(_fragment(rng) for _ in range(rng.choice((1, 1, 2, 40))))]
        items = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(piece)) + piece for piece in pieces)
        end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        value = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + items + end
        made = _with_syntax(content[:pixels] + value, syntax)
        files[name] = mutate_bytes(rng, made, [], first=pixels)[0] if rng.random() < 0.2 else made
    return f"junk as {syntax}"


def _fragment(rng: Random) -> bytes:
    start = rng.choice((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"", struct.pack("<16L", 2, 64, *[70] * 14)))
    piece = start + rng.randbytes(rng.choice((0, 2, 100, 600)))
    return piece + b"\0" * (len(piece) % 2)


def _odd_enhanced(rng: Random, files: dict[str, bytes]) -> str:
    """One file that calls itself enhanced, with functional groups that may be anything."""
    first = copy.deepcopy(_series()[0])
    frames = rng.choice((1, 10, 10, 10, 11, 2**31 - 1))
    first.SOPClassUID, first.NumberOfFrames = ENHANCED, frames
    first.PixelData = first.PixelData * min(frames, 10)
    groups = []
    for number in range(min(frames, 10)):
        group, place, measures = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = _series()[number].ImagePositionPatient
        measures.PixelSpacing = rng.choice((["2", "2"], ["0", "0"], [], ["2", "2"]))
        group.PlanePositionSequence = Sequence([place] * rng.choice((1, 1, 1, 0, 2)))
        group.PixelMeasuresSequence = Sequence([measures])
        groups.append(group)
    first.PerFrameFunctionalGroupsSequence = Sequence(groups[: rng.choice((10, 10, 3, 0))])
    content = _encoded(first)
    if rng.random() < 0.5:
        content = mutate_bytes(rng, content, [], first=132)[0]
    files.clear()
    files["00.dcm"] = content
    return f"enhanced, {frames} frames"


def _encoded(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pydicom.dcmwrite(stream, dataset, enforce_file_format=False, little_endian=True, implicit_vr=False)
        except Exception:  # what pydicom cannot write is no input
            return stream.getvalue()
    return stream.getvalue()


@cache
def _series() -> tuple[Any, ...]:
    slices = series(chest_hu(SHAPE), geometry(SHAPE, SPACING_MM), patient=CANARY, uid="1.2.826.1.1")
    for number, dataset in enumerate(slices):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.1.4.{number}"
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.826.1.2", "1.2.826.1.3"
        dataset.PatientName = f"{CANARY}^Jörg"
    return tuple(slices)


@cache
def _files(base: Path) -> tuple[tuple[str, bytes], ...]:
    return tuple((path.name, path.read_bytes()) for path in sorted(base.glob("*.dcm")))


TARGET = Target(prepare, make, run_scans)
