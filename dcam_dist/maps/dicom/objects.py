"""The DICOM objects: Segmentations and Parametric Maps that lie on the slices they were made from (highdicom).

Segmentations are BINARY, the form that every viewer knows; label-map segmentations are newer than most of them. Winners
and lungs are two objects, for segments that overlap are drawn wrongly or refused by some.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom import ContentQualificationValues, VOILUTFunctionValues, VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dcam_dist import __version__
from dcam_dist.maps.compute import Floats
from dcam_dist.maps.dicom.codes import SCHEME, derived_uid, quantity
from dcam_dist.maps.dicom.source import SourceSeries
from dcam_dist.maps.naming import ClassNames

FIRST_SERIES_NUMBER = 7000
"""Far from the numbers that scanners give."""
_MAKER = "dcam_dist"


def segmentation(
    series: SourceSeries,
    labels_DHW: NDArray[np.uint8],
    segments: Sequence[SegmentDescription],
    *,
    title: str,
    number: int,
    run_sha256: str,
) -> Dataset:
    """A Segmentation of parts that do not overlap.

    Args:
        series: The slices.
        labels_DHW: On ``series.geometry``: 0, or the number of a segment.
        segments: What the numbers are.
        title: Series description.
        number: Of the object among those of the case, from 0.
        run_sha256: The run's hash.
    """
    made = Segmentation(
        source_images=series.datasets,
        pixel_array=labels_DHW[series.slice_of_frame_N],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        content_label=title.upper().replace(" ", "_")[:16],
        content_description=title,
        **_identity(series, labels_DHW, title, number, run_sha256),
    )
    return _described(made, title)


def parametric_map(
    series: SourceSeries,
    logits_DHW: Floats,
    names: ClassNames,
    class_id: int,
    *,
    window: tuple[float, float],
    run_sha256: str,
) -> Dataset:
    """The activation map of one class as 32-bit floats, which are the logits themselves.

    Args:
        series: The slices.
        logits_DHW: On ``series.geometry``; 0 outside the lungs.
        names: Titles of the classes.
        class_id: 0-based.
        window: Lowest and highest value of the recommended window.
        run_sha256: The run's hash.
    """
    title = f"dcam {names.kind} {class_id + names.first}"
    mapping = RealWorldValueMapping(
        lut_label="LOGIT",
        lut_explanation=f"logit of {names.titles[class_id]}"[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(float(logits_DHW.min()), float(logits_DHW.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=quantity(names, class_id),
    )
    made = ParametricMap(
        source_images=series.datasets,
        pixel_array=logits_DHW[series.slice_of_frame_N],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[_window(*window)],
        content_label=title.upper().replace(" ", "_")[:16],
        content_description=f"{title} of dcam_dist, in logits",
        content_qualification=ContentQualificationValues.RESEARCH,
        **_identity(series, logits_DHW, title, 2 + class_id, run_sha256),
    )
    return _described(made, f"{title}, logits")


def _window(low: float, high: float) -> VOILUTTransformation:
    exact = VOILUTFunctionValues.LINEAR_EXACT  # the only linear one that may be narrower than 1
    return VOILUTTransformation((low + high) / 2, max(high - low, 1e-3), "lungs, all classes", exact)


def _identity(
    series: SourceSeries, values_DHW: NDArray[np.uint8] | Floats, title: str, number: int, run_sha256: str
) -> dict[str, Any]:
    """Who made it, and its UIDs.

    That of the series comes from source and run; that of the instance from the content too, because an archive takes
    two objects of one UID for one.
    """
    series_uid = derived_uid("series", series.series_uid, run_sha256, title)
    content = hashlib.sha256(np.ascontiguousarray(values_DHW).data).hexdigest()
    return {
        "series_instance_uid": series_uid,
        "series_number": FIRST_SERIES_NUMBER + number,
        "sop_instance_uid": derived_uid("instance", series_uid, __version__, content),
        "instance_number": 1,
        "manufacturer": _MAKER,
        "manufacturer_model_name": _MAKER,
        "software_versions": __version__,
        "device_serial_number": run_sha256[:16],
    }


def _described(made: Dataset, title: str) -> Dataset:
    made.SeriesDescription = title[:64]
    made.BodyPartExamined = "CHEST"
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = SCHEME, "Classes of dcam_dist runs"
    scheme.CodingSchemeResponsibleOrganization = _MAKER
    made.CodingSchemeIdentificationSequence = [scheme]
    return made
