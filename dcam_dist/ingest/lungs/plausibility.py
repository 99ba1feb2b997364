"""Findings on a lung mask that do not exclude the case but that a person should look at."""

import numpy as np
from numpy.typing import NDArray

VOLUME_ML = (1500.0, 9500.0)
"""Adults' total lung volume on CT, from full expiration to severe hyperinflation."""
SIDE_SHARE = 0.3
"""The least share of the total volume in the smaller lung (normal: about 0.46)."""
MEAN_HU = (-940.0, -600.0)
"""Below: destroyed lung or air that is not lung. Above: expiration, consolidation or tissue in the mask."""

NO_TRACHEA = "trachea_not_found"
CUT = "lungs_cut"
VOLUME = "lung_volume_implausible"
ASYMMETRY = "lungs_asymmetric"
DENSITY = "lung_hu_implausible"


def judge(
    mask_DHW: NDArray[np.bool_], *, right_ml: float, left_ml: float, mean_hu: float, trachea_found: bool
) -> tuple[str, ...]:
    """Name what is unusual about a lung mask.

    Args:
        mask_DHW: The lung mask on the scan's grid.
        right_ml: Volume of the right lung.
        left_ml: Volume of the left lung.
        mean_hu: Mean HU of the mask.
        trachea_found: Whether the airways were found and taken out.

    Returns:
        The flags, in a fixed order; empty when nothing is unusual.
    """
    total_ml = right_ml + left_ml
    findings = {
        NO_TRACHEA: not trachea_found,
        CUT: bool(mask_DHW[0].any() or mask_DHW[-1].any()),
        VOLUME: not VOLUME_ML[0] <= total_ml <= VOLUME_ML[1],
        ASYMMETRY: min(right_ml, left_ml) < SIDE_SHARE * total_ml,
        DENSITY: not MEAN_HU[0] <= mean_hu <= MEAN_HU[1],
    }
    return tuple(name for name, found in findings.items() if found)
