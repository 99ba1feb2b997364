"""Measures and flags of a scan in plain words."""

from dataclasses import dataclass

from dcam_dist.ingest.case import SLICES_APART, THICK_MM, THICK_SLICES
from dcam_dist.ingest.dicom_tilt import TILT_RESAMPLED
from dcam_dist.ingest.lungs import plausibility
from dcam_dist.ingest.scan_source import SERIES_INCOMPLETE
from dcam_dist.ingest.table_sources import SEVERAL_SERIES, UNREADABLE_FILES


@dataclass(frozen=True)
class Field:
    """A measure of the lungs.

    Attributes:
        title: For people.
        unit: Of its values.
        whole: Whether digits after the point mean nothing.
    """

    title: str
    unit: str
    whole: bool

    def number(self, value: float) -> str:
        """A value as it is shown."""
        return f"{value:.0f}" if self.whole else f"{value:.3g}"

    def show(self, value: float) -> str:
        """A value with its unit."""
        return f"{self.number(value)} {self.unit}"


FIELDS = {
    "laa950": Field("LAA-950", "%", whole=False),
    "laa910": Field("LAA-910", "%", whole=False),
    "perc15": Field("15th percentile", "HU", whole=True),
    "mean_hu": Field("mean density", "HU", whole=True),
    "volume_ml": Field("lung volume", "ml", whole=True),
}
"""The measures that are compared with the training scans."""

_LOOK = "look at the outline in the overlay"
FLAGS = {
    THICK_SLICES: f"The slices are thicker than {THICK_MM:g} mm: small holes are averaged away, LAA-950 is too low.",
    SLICES_APART: "The slices lie farther apart than they are thick; every second one may be missing.",
    TILT_RESAMPLED: "The gantry was tilted; the scan was resampled to straight axes.",
    SERIES_INCOMPLETE: "Slices of another orientation or matrix lie in the same series and were left out.",
    SEVERAL_SERIES: "The folder holds several series; the one with the most slices was taken.",
    UNREADABLE_FILES: "The folder holds DICOM files that cannot be read.",
    plausibility.NO_TRACHEA: f"The trachea was not found, so airways may be taken for lung; {_LOOK}.",
    plausibility.CUT: "The first or last slice cuts the lungs: volume and upper or lower zone are incomplete.",
    plausibility.VOLUME: f"The lung volume is not an adult's; {_LOOK}.",
    plausibility.ASYMMETRY: f"One lung is much smaller: effusion, consolidation, surgery or a wrong mask; {_LOOK}.",
    plausibility.DENSITY: f"The mean density is not that of lungs in inspiration; {_LOOK}.",
    plausibility.SIDES: "The given lung mask has right and left exchanged.",
    plausibility.AIR_POCKET: "A large space of plain air lies within the lungs: a giant bulla or a pneumothorax.",
}
"""What each flag of ingest means for the answer."""


def in_words(flag: str) -> str:
    """What a flag means; one of another release is told by its name."""
    return FLAGS.get(flag, f"ingest has flagged the scan: {flag}.")
