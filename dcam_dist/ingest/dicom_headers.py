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

import pydicom

_TEXT_TAGS = {
    "series_uid": "SeriesInstanceUID",
    "study_uid": "StudyInstanceUID",
    "patient_id": "PatientID",
    "sop_class": "SOPClassUID",
    "modality": "Modality",
    "frame_of_reference": "FrameOfReferenceUID",
    "burned_in": "BurnedInAnnotation",
    "kernel": "ConvolutionKernel",
    "manufacturer": "Manufacturer",
    "contrast_agent": "ContrastBolusAgent",
}
_NUMBER_TAGS = {
    "rows": "Rows",
    "columns": "Columns",
    "samples": "SamplesPerPixel",
    "frames": "NumberOfFrames",
    "bits": "BitsAllocated",
    "thickness_mm": "SliceThickness",
    "kvp": "KVP",
}
_VECTOR_TAGS = {
    "position": ("ImagePositionPatient", 3),
    "orientation": ("ImageOrientationPatient", 6),
    "pixel_spacing": ("PixelSpacing", 2),
    "rescale_slope": ("RescaleSlope", 1),
    "rescale_intercept": ("RescaleIntercept", 1),
}
_TAGS = [*_TEXT_TAGS.values(), *_NUMBER_TAGS.values(), *(name for name, _ in _VECTOR_TAGS.values()), "ImageType"]
_UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
_HEADER_THREADS = 8  # the wait is for the file system, not for the processor


@dataclass(frozen=True)
class SliceHeader:
    """Header fields of one DICOM file; empty, zero or ``None`` where a field is absent or malformed.

    Attributes:
        pixel_bytes: Bytes that follow the header.
        compressed: The transfer syntax is not one of the plain ones.
        position: LPS millimetres of the first pixel's centre.
        orientation: Direction cosines along a row, then down a column.
        pixel_spacing: Millimetres between rows, then between columns.
    """

    path: Path
    series_uid: str
    study_uid: str
    patient_id: str
    sop_class: str
    modality: str
    image_type: tuple[str, ...]
    frame_of_reference: str
    burned_in: str
    kernel: str
    manufacturer: str
    contrast_agent: str
    rows: float
    columns: float
    samples: float
    frames: float
    bits: float
    thickness_mm: float
    kvp: float
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    rescale_slope: tuple[float, ...] | None
    rescale_intercept: tuple[float, ...] | None
    pixel_bytes: int
    compressed: bool

    @property
    def expected_bytes(self) -> float:
        """Bytes of the uncompressed pixels that the header announces."""
        return self.rows * self.columns * max(self.samples, 1) * max(self.frames, 1) * self.bits / 8


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its magic number, or may be by its name; a DICOMDIR is none."""
    if path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as stream:
            magic = stream.read(132)[128:]
    except OSError:
        return path.suffix.lower() == ".dcm"
    return magic == b"DICM" or path.suffix.lower() in {".dcm", ".ima", ""}


def read_headers(paths: Iterable[Path]) -> list[tuple[Path, SliceHeader | None]]:
    """Read many headers at once; ``None`` where a file cannot be read as DICOM."""
    with _quiet(), ThreadPoolExecutor(_HEADER_THREADS, thread_name_prefix="headers") as pool:
        listed = list(paths)
        return list(zip(listed, pool.map(_read_header, listed), strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence pydicom: its warnings quote header values, which may name a patient."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _read_header(path: Path) -> SliceHeader | None:
    try:
        with path.open("rb") as stream:
            dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
            remaining = path.stat().st_size - stream.tell()
        if not _text(dataset, "SOPClassUID") and not _text(dataset, "SeriesInstanceUID"):
            return None
        fields: dict[str, Any] = {field: _text(dataset, name) for field, name in _TEXT_TAGS.items()}
        fields |= {field: (_numbers(dataset, name, 1) or (0.0,))[0] for field, name in _NUMBER_TAGS.items()}
        fields |= {field: _numbers(dataset, name, count) for field, (name, count) in _VECTOR_TAGS.items()}
        return SliceHeader(
            **fields,
            path=path,
            image_type=tuple(_text(dataset, "ImageType").upper().split("\\")),
            pixel_bytes=remaining,
            compressed=bool(syntax) and syntax not in _UNCOMPRESSED,
        )
    except Exception:  # pydicom raises almost any type on malformed files, and each means the same here
        return None


def _value(dataset: Any, name: str) -> Any:
    try:
        return dataset.get(name)
    except Exception:  # the value is converted only now, with pydicom's same wealth of errors
        return None


def _text(dataset: Any, name: str) -> str:
    value = _value(dataset, name)
    if value is None:
        return ""
    parts = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    return "\\".join(str(part).strip() for part in parts)


def _numbers(dataset: Any, name: str, count: int) -> tuple[float, ...] | None:
    value = _value(dataset, name)
    try:
        parts = [value] if isinstance(value, str | int | float) else list(value)
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(math.isfinite(number) for number in numbers) else None
