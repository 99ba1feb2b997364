"""How alike two maps of one scan are, over its lungs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

Volume = NDArray[np.floating[Any]]
WINDOW_VOXELS = 1.5
"""Standard deviation of the SSIM's window (Wang 2004)."""
C1, C2 = 0.01**2, 0.03**2
ROUNDING = 1e-6


def varies(values_N: Volume) -> bool:
    """Whether a map says anything: its values differ by more than rounding makes of one."""
    return bool(np.ptp(values_N) > ROUNDING * np.abs(values_N).max(initial=0))


def spearman(first_N: Volume, second_N: Volume) -> float:
    """Rank correlation, ties at their mean rank; NaN where either does not vary."""
    if not (varies(first_N) and varies(second_N)):
        return float("nan")
    first, second = (rankdata(values) for values in (first_N, second_N))
    return float(np.corrcoef(first, second)[0, 1])


def ssim(first_DHW: Volume, second_DHW: Volume, lung_mask_DHW: NDArray[np.bool_]) -> float:
    """Structural similarity (Wang 2004, IEEE TIP 13:600), mean over the lungs.

    Each map is first brought to 0…1 by its lowest and highest value in the lungs, so that maps that differ by a
    positive factor and an offset alone have 1. Windows see lung voxels only: each is a normalized convolution.

    Returns:
        −1 to 1; NaN where either map does not vary.
    """
    if not (varies(first_DHW[lung_mask_DHW]) and varies(second_DHW[lung_mask_DHW])):
        return float("nan")
    scaled = [_scaled(values, lung_mask_DHW) for values in (first_DHW, second_DHW)]
    weight = gaussian_filter(lung_mask_DHW.astype(np.float64), WINDOW_VOXELS)[lung_mask_DHW]
    first, second = (np.where(lung_mask_DHW, values, 0.0) for values in scaled)

    def local(values: Volume) -> Volume:
        return gaussian_filter(values, WINDOW_VOXELS)[lung_mask_DHW] / weight

    mean_1, mean_2 = local(first), local(second)
    var_1, var_2 = local(first**2) - mean_1**2, local(second**2) - mean_2**2
    both = local(first * second) - mean_1 * mean_2
    above = (2 * mean_1 * mean_2 + C1) * (2 * both + C2)
    below = (mean_1**2 + mean_2**2 + C1) * (var_1 + var_2 + C2)
    return float((above / below).mean())


def _scaled(values_DHW: Volume, lung_mask_DHW: NDArray[np.bool_]) -> Volume:
    values = values_DHW.astype(np.float64)
    low, high = values[lung_mask_DHW].min(), values[lung_mask_DHW].max()
    return np.asarray((values - low) / (high - low))
