"""Findings on a lung mask that do not exclude the case but that a person should look at, and lungs that are cut."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.types import Geometry

VOLUME_ML = (1500.0, 9500.0)
"""Adults' total lung volume on CT, from full expiration to severe hyperinflation."""
SIDE_SHARE = 0.4
"""The least share of the total volume in the smaller lung (normal: 0.43 to 0.49). Without its lower lobe, which an
effusion or a consolidation takes out of the mask, a lung comes below."""
MEAN_HU = (-940.0, -600.0)
"""Below: destroyed lung or air that is not lung. Above: expiration, consolidation or tissue in the mask."""
AIR_POCKET_ML = 100.0
"""A connected space of plain air within the mask as large as this is a giant bulla or a pneumothorax."""
CUT_CM2 = 10.0
"""Lung area in the first or last slice from which the lungs are cut. On a scan with whole lungs (LIDC-IDRI-0001, 3.7 l)
what lies beyond a slice of 10 cm² is 8 ml at the base, a thin rim, and 2 ml at the apices: too little to change a
densitometry. 50 mm further in, a slice shows 60 cm² and more."""

GIVEN_ML = (10.0, 14_000.0)
"""Given masks of less or more are refused. A term newborn's lungs hold 80 ml; the largest total lung capacities that
are told of, elite rowers', are below 12 l."""
GIVEN_MEAN_HU = -300.0
"""Given masks above are refused. A share of air of three tenths; the lungs of severe ARDS, consolidation included, hold
more, and soft tissue has none. A whole trunk is denser too."""

NO_TRACHEA = "trachea_not_found"
CUT = "lungs_cut"
VOLUME = "lung_volume_implausible"
ASYMMETRY = "lungs_asymmetric"
DENSITY = "lung_hu_implausible"
SIDES = "mask_sides_differ"
AIR_POCKET = "large_air_pocket"


@dataclass(frozen=True)
class Findings:
    """What was measured on a mask.

    Attributes:
        right_ml: Volume of the right lung.
        left_ml: Volume of the left lung.
        mean_hu: Mean HU of the mask.
        trachea_found: Whether the airways were found and taken out.
        air_pocket_ml: The largest space of plain air.
    """

    right_ml: float
    left_ml: float
    mean_hu: float
    trachea_found: bool
    air_pocket_ml: float


def judge(found: Findings) -> tuple[str, ...]:
    """Name what is unusual about a lung mask: the flags, in a fixed order; empty when nothing is."""
    total_ml = found.right_ml + found.left_ml
    findings = {
        NO_TRACHEA: not found.trachea_found,
        VOLUME: not VOLUME_ML[0] <= total_ml <= VOLUME_ML[1],
        ASYMMETRY: min(found.right_ml, found.left_ml) < SIDE_SHARE * total_ml,
        DENSITY: not MEAN_HU[0] <= found.mean_hu <= MEAN_HU[1],
        AIR_POCKET: found.air_pocket_ml >= AIR_POCKET_ML,
    }
    return tuple(name for name, unusual in findings.items() if unusual)


def refusal(volume_ml: float, mean_hu: float) -> str | None:
    """Why a given mask cannot be of lungs, in a few words; ``None`` where it may be."""
    least_ml, most_ml = GIVEN_ML
    if not least_ml <= volume_ml <= most_ml:
        return f"the lung mask holds {volume_ml / 1000:.3g} l; lungs hold {least_ml / 1000:g} to {most_ml / 1000:g} l"
    if mean_hu > GIVEN_MEAN_HU:
        return f"the scan has {mean_hu:.0f} HU on average within the lung mask; lungs are below {GIVEN_MEAN_HU:.0f} HU"
    return None


def cut_area_cm2(mask_DHW: NDArray[Any], geometry: Geometry) -> float:
    """The larger of the lung areas in the first and in the last slice, in cm²."""
    voxels = max(np.count_nonzero(mask_DHW[end]) for end in (0, -1))
    return float(voxels * geometry.spacing_mm[1] * geometry.spacing_mm[2] / 100.0)
