"""What the parts of a scan are in coded terms, and the identifiers of what is made from it."""

import hashlib
import uuid

from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from dcam_dist import __version__
from dcam_dist.cohort.writer import LUNG_VALUES
from dcam_dist.maps import style
from dcam_dist.maps.naming import ClassNames

SCHEME = "99DCAMDIST"
"""Private: what a cluster is, no public scheme can say."""
_SIDES = (CodedConcept("3341006", "SCT", "Right lung"), CodedConcept("44029006", "SCT", "Left lung"))


def derived_uid(*parts: str) -> str:
    """A UID that the same parts always give, under the root that belongs to UUIDs (ITU-T X.667)."""
    digest = hashlib.sha256("\n".join(("dcam_dist", *parts)).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def quantity(names: ClassNames, class_id: int) -> CodedConcept:
    """The map of one class, as the quantity that a parametric map holds."""
    title = names.titles[class_id]
    return CodedConcept(f"{names.stems[class_id]}-logit", SCHEME, f"Activation map of {title}, in logits"[:64])


def class_segments(names: ClassNames, run_sha256: str) -> list[SegmentDescription]:
    """Segments 1, 2 … of the winning class, in the colours of the figures."""
    colours = style.winner_colours(len(names.titles))[:, :3]
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=title[:64],
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=CodedConcept(stem, SCHEME, title[:64]),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm(run_sha256),
            anatomic_regions=[codes.SCT.Lung],
            display_color=_lab(colour * 255),
        )
        for number, (title, stem, colour) in enumerate(zip(names.titles, names.stems, colours, strict=True), start=1)
    ]


def lung_segments() -> list[SegmentDescription]:
    """Segment 1 is the right lung, 2 the left, as in the store."""
    return [
        SegmentDescription(
            segment_number=number,
            segment_label=title,
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=code,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm(None),
            display_color=_lab(rgba[:3]),
        )
        for number, ((title, rgba), code) in enumerate(zip(LUNG_VALUES, _SIDES, strict=True), start=1)
    ]


def algorithm(run_sha256: str | None) -> AlgorithmIdentificationSequence:
    """This package, and the run whose network it was."""
    return AlgorithmIdentificationSequence(
        name="dcam_dist",
        family=codes.DCM.ArtificialIntelligence,
        version=__version__,
        parameters=None if run_sha256 is None else {"run_sha256": run_sha256},
    )


def _lab(rgb: object) -> CIELabColor:
    red, green, blue = (round(float(value)) for value in rgb)  # type: ignore[attr-defined]
    return CIELabColor.from_rgb(red, green, blue)
