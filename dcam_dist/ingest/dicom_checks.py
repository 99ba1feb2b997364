"""What can be wrong with a CT series, judged from its headers alone.

Every check looks for one thing and says it in one line. All of them run, so that a case set aside tells all that is
wrong with it and not only what was met first.
"""

import math
import re
from collections.abc import Callable, Iterator

import numpy as np

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom_file import INTEGER_PIXELS
from dcam_dist.ingest.dicom_headers import SliceHeader
from dcam_dist.ingest.dicom_places import Finding, Headers, has_geometry, place_faults

MIN_SLICES = 10
MIN_MATRIX = 16
SAME_ORIENTATION = 1e-2
"""Largest difference of direction cosines within one stack."""

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
CT_CLASSES = {CT_IMAGE, f"{CT_IMAGE}.1", f"{CT_IMAGE}.2"}
"""CT, enhanced CT, legacy converted enhanced CT."""
_STANDARD_CLASSES = "1.2.840.10008.5.1.4.1.1."
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_GREY = ("", "MONOCHROME1", "MONOCHROME2")
_SUPPORTED_BITS = (8, 16, 32)
_UNSPECIFIED = "US"
"""Rescale type “unspecified” (DICOM PS3.3, C.11.1.1.2). Absent means HU in CT (C.8.2.1)."""
_NO_HU_LEFT = {
    *("MIP", "MAX_IP", "MAXIP", "MINIP", "MIN_IP", "PROJECTION"),
    *("MAXIMUM", "MINIMUM", "STD_DEVIATION", "ADDITION", "SUBTRACTION", "MULTIPLICATION", "DIVISION"),
}
"""Words of image types whose values are no HU, the second row by PS3.3, C.8.16.1.4. Means and averages are HU still."""


def rejection(findings: list[Finding]) -> CaseRejected:
    """One or more findings as an error."""
    reason, detail = findings[0]
    return CaseRejected(reason, detail, tuple(sorted({other for other, _ in findings} - {reason})))


def find_faults(headers: Headers, config: IngestConfig, *, assume_hu: bool) -> list[Finding]:
    """All that is wrong with a series.

    Args:
        headers: Its slices, at least one, in any order; a multi-frame file frame by frame where that is possible.
        config: Largest volume, and whether a tilted gantry is a fault.
        assume_hu: Take stored values for HU where the rescale tags are missing.
    """
    findings = [*_kind(headers), *_whole(headers)]
    if _any(headers, _is_image):  # plans, reports and the like have nothing else to judge
        findings += [*_pixels(headers), *_values(headers, assume_hu=assume_hu)]
        findings += [*_size(headers, config.max_voxels), *_places(headers, allow_tilt=config.resample_tilt)]
    if _any(headers, lambda h: h.multiframe) and findings:
        why = findings[0][1]
        findings.insert(0, (Reason.ENHANCED_MULTIFRAME, f"frames in one file that are no regular CT volume: {why}"))
    return findings


def alike(first: SliceHeader, second: SliceHeader) -> bool:
    """Whether two slices have one matrix and orientation."""
    if (first.rows, first.columns) != (second.rows, second.columns):
        return False
    if first.orientation is None or second.orientation is None:
        return first.orientation is second.orientation
    return bool(np.allclose(first.orientation, second.orientation, rtol=0.0, atol=SAME_ORIENTATION))


def _kind(headers: Headers) -> Iterator[Finding]:
    if not all(map(_is_ct, headers)):
        yield Reason.WRONG_MODALITY, "not CT"
    if _any(headers, _is_unplaced):
        yield Reason.ENHANCED_MULTIFRAME, "the frames have no place of their own; export single-frame CT"
    if _any(headers, lambda h: h.sop_class.startswith(_SECONDARY_CAPTURE) or "SCREEN SAVE" in h.image_type):
        yield Reason.SECONDARY_CAPTURE, "a screen capture or another image made from images"
    if _any(headers, lambda h: h.burned_in.upper() not in ("", "NO")):
        yield Reason.BURNED_IN, "annotation is burned into the pixels"
    if _any(headers, lambda h: h.samples > 1 or h.photometric.upper() not in _GREY):
        yield Reason.COLOUR, "colour pixels"
    if _any(headers, lambda h: "LOCALIZER" in h.image_type):
        yield Reason.LOCALIZER, "a localizer (scout view)"
    if _any(headers, lambda h: _origin(h) != _origin(headers[0]) or not alike(h, headers[0])):
        yield Reason.MIXED_SERIES, "slices of several patients, scanners or reconstructions under one series"


def _whole(headers: Headers) -> Iterator[Finding]:
    short = {header.path for header in headers if _is_short(header)}
    if short:
        of = len({header.path for header in headers})
        yield Reason.TRUNCATED, f"files that are shorter than their header says: {len(short)} of {of}"


def _pixels(headers: Headers) -> Iterator[Finding]:
    if _any(headers, lambda h: h.pixels is not None and not _has_readable_pixels(h)):
        yield Reason.UNSUPPORTED_FORMAT, "pixels that are no integers of 8, 16 or 32 bits stored as the header says"


def _size(headers: Headers, max_voxels: int) -> Iterator[Finding]:
    rows, columns = headers[0].rows, headers[0].columns
    slices = sum(max(header.frames, 1) if header.frame is None else 1 for header in headers)
    if slices < MIN_SLICES:
        yield Reason.TOO_FEW_SLICES, f"slices: {slices:.0f}, at least {MIN_SLICES} are needed"
    if rows < MIN_MATRIX or columns < MIN_MATRIX:
        yield Reason.TOO_SMALL, f"a matrix of {rows:.0f}×{columns:.0f}, at least {MIN_MATRIX}×{MIN_MATRIX} is needed"
    if rows * columns * slices > max_voxels:
        yield Reason.TOO_LARGE, f"{rows * columns * slices:.3g} voxels, ingest.max_voxels is {max_voxels:.3g}"


def _values(headers: Headers, *, assume_hu: bool) -> Iterator[Finding]:
    if not assume_hu and _any(headers, lambda h: h.rescale_slope is None or h.rescale_intercept is None):
        yield Reason.NO_RESCALE, "no rescale slope or intercept; if the stored values are HU, say --assume-hu"
    if not all(math.isfinite(value or 0.0) for h in headers for value in (h.rescale_slope, h.rescale_intercept)):
        yield Reason.NOT_FINITE, "a rescale slope or intercept is NaN or infinite"
    units = {header.rescale_type.upper() for header in headers} - {"", "HU"}
    if units - {_UNSPECIFIED}:
        yield Reason.NOT_HOUNSFIELD, "the header says that the rescaled values are no HU"
    elif units and not assume_hu:
        what = "the header leaves the unit of the rescaled values open"
        yield Reason.NOT_HOUNSFIELD, f"{what}; if they are HU, say --assume-hu"
    if _any(headers, _is_projection):
        what = "a projection (MIP, MinIP) or another calculation that leaves no HU, by its image type"
        yield Reason.NOT_HOUNSFIELD, f"{what}; give the original series"


def _places(headers: Headers, *, allow_tilt: bool) -> Iterator[Finding]:
    if not has_geometry(headers):
        yield Reason.BAD_GEOMETRY, "position, orientation or pixel spacing is missing or impossible"
    elif all(alike(header, headers[0]) for header in headers):
        yield from place_faults(headers, allow_tilt=allow_tilt)


def _is_ct(header: SliceHeader) -> bool:
    """By modality and class; secondary captures have a code of their own, and private classes may hold CT."""
    if header.modality not in ("CT", "") or (header.modality == "" and header.sop_class not in CT_CLASSES):
        return False
    standard = header.sop_class.startswith(_STANDARD_CLASSES)
    return not standard or header.sop_class in CT_CLASSES or header.sop_class.startswith(_SECONDARY_CAPTURE)


def _is_image(header: SliceHeader) -> bool:
    return header.pixels is not None or header.rows > 0 or _is_ct(header)


def _is_unplaced(header: SliceHeader) -> bool:
    """A multi-frame file of which only the whole is known."""
    return header.multiframe and header.frame is None


def _is_short(header: SliceHeader) -> bool:
    if header.truncated or header.pixels is None:
        return header.truncated or _is_image(header)
    if header.compressed:
        return not header.pixels.whole or len(header.pixels.fragments) < max(header.frames, 1)
    return not header.pixels.whole or header.pixels.length < header.expected_bytes


def _has_readable_pixels(header: SliceHeader) -> bool:
    if header.pixels is None or header.pixels.tag != INTEGER_PIXELS or header.native == header.compressed:
        return False
    bits, stored = header.bits, header.bits_stored or header.bits
    high_bit = header.high_bit or stored - 1
    swapped_bytes = header.big_endian and bits == 8 and header.pixels.vr == "OW"
    fits = 1 < stored <= bits and stored <= high_bit + 1 <= bits
    return bits in _SUPPORTED_BITS and fits and not swapped_bytes and not (header.compressed and high_bit >= stored)


def _is_projection(header: SliceHeader) -> bool:
    """By any word of the image type: vendors write “CSA MIP” and the like."""
    words = {word for value in header.image_type[2:] for word in re.split(r"[^A-Z_]+", value)}
    return bool(words & _NO_HU_LEFT)


def _origin(header: SliceHeader) -> tuple[object, ...]:
    """What all slices of one scan have in common.

    Of the image type the values from the third to the fifth: these are defined (PS3.3, C.8.16.1: flavour, derived
    contrast, multi-energy). The first two may differ where single slices were edited, and what vendors add may count.
    """
    made = (header.manufacturer, header.kvp, header.image_type[2:5], header.kernel, header.sop_class, header.modality)
    whose = (header.patient_id, header.study_uid, header.frame_of_reference)
    return *whose, *made, header.pixel_spacing


def _any(headers: Headers, test: Callable[[SliceHeader], bool]) -> bool:
    return any(test(header) for header in headers)
