"""The few header fields that ingest looks at, read from one DICOM file each.

Headers are untrusted: a malformed value reads as absent, and no value goes into a message.
"""

import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from dcam_dist.ingest.dicom_file import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, PixelElement, has_magic, parse_file

DICOM_SUFFIXES = {".dcm", ".ima"}

_TEXT_TAGS = {
    "series_uid": "SeriesInstanceUID",
    "study_uid": "StudyInstanceUID",
    "patient_id": "PatientID",
    "sop_class": "SOPClassUID",
    "sop_uid": "SOPInstanceUID",
    "modality": "Modality",
    "frame_of_reference": "FrameOfReferenceUID",
    "burned_in": "BurnedInAnnotation",
    "photometric": "PhotometricInterpretation",
    "kernel": "ConvolutionKernel",
    "manufacturer": "Manufacturer",
    "contrast_agent": "ContrastBolusAgent",
    "rescale_type": "RescaleType",
}
_COUNT_TAGS = {
    "rows": "Rows",
    "columns": "Columns",
    "samples": "SamplesPerPixel",
    "frames": "NumberOfFrames",
    "bits": "BitsAllocated",
    "bits_stored": "BitsStored",
    "high_bit": "HighBit",
    "signed": "PixelRepresentation",
}
_NUMBER_TAGS = {"thickness_mm": "SliceThickness", "kvp": "KVP"}
_VECTOR_TAGS = {
    "position": ("ImagePositionPatient", 3),
    "orientation": ("ImageOrientationPatient", 6),
    "pixel_spacing": ("PixelSpacing", 2),
}
_RESCALE_TAGS = {"rescale_slope": "RescaleSlope", "rescale_intercept": "RescaleIntercept"}
_OTHER_TAGS = ("ImageType", "PixelPaddingValue", "PixelPaddingRangeLimit", "PerFrameFunctionalGroupsSequence")
_KEYWORDS = (
    *_TEXT_TAGS.values(),
    *_COUNT_TAGS.values(),
    *_NUMBER_TAGS.values(),
    *(name for name, _ in _VECTOR_TAGS.values()),
    *_RESCALE_TAGS.values(),
    *_OTHER_TAGS,
)
_TAGS = [tag for tag in map(tag_for_keyword, _KEYWORDS) if tag is not None]
_NATIVE = {IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, ""}
_HEADER_THREADS = 8  # the wait is for the file system, not for the processor


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """Header fields of one DICOM file, or of one frame of it; empty, zero or ``None`` where absent or malformed.

    Attributes:
        rescale_type: Unit of the rescaled values, as the file gives it.
        rescale_slope: As the file gives it: it may not be finite.
        rescale_intercept: Likewise.
        padding: Lowest and highest stored value that mark what lies outside the field of view.
        position: LPS millimetres of the first pixel's centre.
        orientation: Direction cosines along a row, then down a column.
        pixel_spacing: Millimetres between rows, then between columns.
        pixels: Where the pixels lie; ``None`` in a file without any.
        truncated: The file ends within an element.
        grouped: Its frames are placed by functional groups (enhanced objects).
        frame: Which of the file's frames this is, from 0; ``None`` for the file as a whole.
    """

    path: Path
    series_uid: str
    study_uid: str
    patient_id: str
    sop_class: str
    sop_uid: str
    modality: str
    image_type: tuple[str, ...]
    frame_of_reference: str
    burned_in: str
    photometric: str
    kernel: str
    manufacturer: str
    contrast_agent: str
    rescale_type: str
    rows: float
    columns: float
    samples: float
    frames: float
    bits: float
    bits_stored: float
    high_bit: float
    signed: float
    thickness_mm: float
    kvp: float
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    rescale_slope: float | None
    rescale_intercept: float | None
    padding: tuple[float, float] | None
    syntax: str
    big_endian: bool
    pixels: PixelElement | None
    truncated: bool
    grouped: bool
    frame: int | None = None

    @property
    def frame_bytes(self) -> float:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * max(self.samples, 1) * self.bits / 8

    @property
    def expected_bytes(self) -> float:
        """Bytes of all uncompressed frames of the file."""
        return self.frame_bytes * max(self.frames, 1)

    @property
    def compressed(self) -> bool:
        """Whether the pixels are stored as compressed fragments."""
        return self.pixels is not None and self.pixels.encapsulated

    @property
    def native(self) -> bool:
        """Whether the transfer syntax is one of uncompressed pixels."""
        return self.syntax in _NATIVE

    @property
    def multiframe(self) -> bool:
        """Whether the file may hold several slices."""
        return self.grouped or self.frames > 1


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its magic number, or may be by its name; a DICOMDIR is none."""
    if path.name.upper() == "DICOMDIR":
        return False
    suffix = path.suffix.lower()
    numbered = suffix[1:].isdigit()  # names that are UIDs or counts, such as 1.2.840.113619 or IM.0001
    return numbered or suffix in {*DICOM_SUFFIXES, ""} or has_magic(path) is not False


def claims_dicom(path: Path) -> bool:
    """Whether a file must not be passed over: it is DICOM by magic number or suffix, or cannot be opened at all."""
    return path.suffix.lower() in DICOM_SUFFIXES or has_magic(path) is not False


def read_headers(paths: Iterable[Path]) -> list[tuple[Path, SliceHeader | None]]:
    """Read many headers at once, one a file; ``None`` where a file cannot be read as DICOM."""
    with quiet(), ThreadPoolExecutor(_HEADER_THREADS, thread_name_prefix="headers") as pool:
        listed = list(paths)
        return list(zip(listed, pool.map(_read_header, listed), strict=True))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom and highdicom: their warnings quote header values, which may name a patient."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def text_of(dataset: Any, name: str) -> str:
    """A text value, several joined by a backslash; empty where absent or malformed."""
    value = _value(dataset, name)
    if value is None:
        return ""
    parts = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    if any(isinstance(part, Dataset) for part in parts):  # printed, a deep one never ends
        return ""
    return "\\".join(str(part).strip() for part in parts)


def numbers_of(dataset: Any, name: str, count: int, *, finite: bool = True) -> tuple[float, ...] | None:
    """So many numbers; ``None`` where absent or malformed, or where one is not finite unless that is allowed."""
    value = _value(dataset, name)
    try:
        parts = [value] if isinstance(value, str | int | float) else list(value)
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        return None
    if len(numbers) != count or (finite and not all(math.isfinite(number) for number in numbers)):
        return None
    return numbers


def rescale_of(dataset: Any) -> dict[str, Any]:
    """Rescale slope and intercept, by the names of a slice header's fields; they may not be finite."""
    found = {field: numbers_of(dataset, name, 1, finite=False) for field, name in _RESCALE_TAGS.items()}
    return {field: None if numbers is None else numbers[0] for field, numbers in found.items()}


def _read_header(path: Path) -> SliceHeader | None:
    try:
        parsed = parse_file(path, _TAGS)
        dataset = parsed.dataset
        if not text_of(dataset, "SOPClassUID") and not text_of(dataset, "SeriesInstanceUID"):
            return None
        fields: dict[str, Any] = {field: text_of(dataset, name) for field, name in _TEXT_TAGS.items()}
        fields |= {field: _number(dataset, name) for field, name in _NUMBER_TAGS.items()}
        counts = {field: _number(dataset, name) for field, name in _COUNT_TAGS.items()}
        fields |= {field: count if count.is_integer() else 0.0 for field, count in counts.items()}
        fields |= {field: numbers_of(dataset, name, count) for field, (name, count) in _VECTOR_TAGS.items()}
        return SliceHeader(
            **fields,
            **rescale_of(dataset),
            path=path,
            image_type=tuple(text_of(dataset, "ImageType").upper().split("\\")),
            padding=_padding(dataset),
            syntax=parsed.syntax,
            big_endian=parsed.big_endian,
            pixels=parsed.pixels,
            truncated=parsed.truncated,
            grouped="PerFrameFunctionalGroupsSequence" in dataset,
        )
    except Exception:  # pydicom raises almost any type on malformed files, and each means the same here
        return None


def _number(dataset: Any, name: str) -> float:
    return (numbers_of(dataset, name, 1) or (0.0,))[0]


def _padding(dataset: Any) -> tuple[float, float] | None:
    first = _stored_value(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = _stored_value(dataset, "PixelPaddingRangeLimit")
    return (min(first, last), max(first, last)) if last is not None else (first, first)


def _stored_value(dataset: Any, name: str) -> float | None:
    """A number, or the two bytes that an implicit file gives, which do not say whether they are signed."""
    value = _value(dataset, name)
    if isinstance(value, bytes):
        return float(int.from_bytes(value, "little")) if len(value) == 2 else None
    return (numbers_of(dataset, name, 1) or (None,))[0]


def _value(dataset: Any, name: str) -> Any:
    try:
        return dataset.get(name)
    except Exception:  # the value is converted only now, with pydicom's same wealth of errors
        return None
