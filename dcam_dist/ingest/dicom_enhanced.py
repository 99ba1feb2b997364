"""Enhanced (multi-frame) objects: each frame as a slice header of its own, so that all checks apply to it.

A frame's place, measures and rescale values lie in functional groups, either its own or shared by all frames (DICOM
PS3.3, C.7.6.16). Legacy converted objects keep further single-frame attributes in groups of unassigned attributes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from dcam_dist.ingest.dicom_file import parse_file
from dcam_dist.ingest.dicom_headers import SliceHeader, numbers_of, quiet, rescale_of, text_of

_SEQUENCES = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_UNASSIGNED = ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence")
COLOUR_PRESENTATION = "PALETTE COLOR"


def frames_of(header: SliceHeader) -> tuple[SliceHeader, ...]:
    """The frames of a file as slices.

    Returns:
        One header a frame. The header itself for a single-frame file, and where the functional groups do not give each
        frame a place.
    """
    if not header.grouped:
        return (header,)
    try:
        with quiet():
            shared, own = _functional_groups(header)
            if len(own) != max(header.frames, 1):
                return (header,)
            return tuple(_frame(header, index, (group, *shared)) for index, group in enumerate(own))
    except Exception:  # pydicom raises almost any type on malformed files, and each means the same here
        return (header,)


def _functional_groups(header: SliceHeader) -> tuple[list[Any], list[Any]]:
    tags = [tag for tag in map(tag_for_keyword, _SEQUENCES) if tag is not None]
    dataset = parse_file(header.path, tags).dataset
    shared, own = (list(dataset.get(name) or ()) for name in _SEQUENCES)
    return shared[:1], own


def _frame(header: SliceHeader, index: int, groups: Sequence[Any]) -> SliceHeader:
    measures = _macro(groups, "PixelMeasuresSequence")
    values = _macro(groups, "PixelValueTransformationSequence")
    kind = _macro(groups, "CTImageFrameTypeSequence")
    thickness = numbers_of(measures, "SliceThickness", 1)
    kvp = numbers_of(_macro(groups, "CTXRayDetailsSequence", "KVP"), "KVP", 1)
    kernel = text_of(_macro(groups, "CTReconstructionSequence", "ConvolutionKernel"), "ConvolutionKernel")
    contrast = text_of(_macro(groups, "ContrastBolusUsageSequence"), "ContrastBolusAgentAdministered")
    frame_type = text_of(kind, "FrameType").upper()
    return replace(
        header,
        frame=index,
        position=numbers_of(_macro(groups, "PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=numbers_of(_macro(groups, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        pixel_spacing=numbers_of(measures, "PixelSpacing", 2),
        rescale_type=text_of(values, "RescaleType") or header.rescale_type,
        image_type=tuple(frame_type.split("\\")) if frame_type else header.image_type,
        # some stored values are then entries of a palette and no intensities
        photometric=COLOUR_PRESENTATION if text_of(kind, "PixelPresentation") == "COLOR" else header.photometric,
        thickness_mm=thickness[0] if thickness else header.thickness_mm,
        kvp=kvp[0] if kvp else header.kvp,
        kernel=kernel or header.kernel,
        contrast_agent=contrast or header.contrast_agent,
        **rescale_of(values),
    )


def _macro(groups: Sequence[Any], name: str, unassigned: str = "") -> Any:
    """The first item of a functional group, or of the unassigned attributes if these have a certain one."""
    for group in groups:
        items = group.get(name)
        if items:
            return items[0]
    for group in groups if unassigned else ():
        for sequence in _UNASSIGNED:
            items = group.get(sequence)
            if items and unassigned in items[0]:
                return items[0]
    return Dataset()
