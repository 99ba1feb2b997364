"""Lung densitometry: the numbers by which emphysema is read from a CT's histogram.

LAA-T is the low attenuation area: the share of lung voxels strictly below T HU, −950 (emphysema; Gevenois et al. 1996)
and −910 (milder emphysema) in inspiration, −856 (air trapping) in expiration. Perc15 is the 15th percentile of the HU
histogram (Dirksen et al. 1999). The zones are equal thirds of the height of the lungs' extent along z.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.types import Geometry

DENSITOMETRY_FIELDS = (
    "laa950",
    "laa910",
    "laa856",
    "perc15",
    "mean_hu",
    "volume_ml",
    "laa950_upper",
    "laa950_middle",
    "laa950_lower",
    "laa950_difference",
)
"""The names, in the order of tables: percentages of lung voxels, HU, HU, millilitres, percentages."""


def densitometry(
    hu_DHW: NDArray[np.number[Any]], lung_mask_DHW: NDArray[np.bool_], geometry: Geometry
) -> dict[str, float]:
    """Measure the density of the lungs.

    Args:
        hu_DHW: HU of a canonical volume (z inferior → superior), shape (D, H, W).
        lung_mask_DHW: The lungs, same shape.
        geometry: The volume's geometry.

    Returns:
        One value for each of ``DENSITOMETRY_FIELDS``, in that order: ``laa*`` in percent, ``perc15`` (interpolated
        linearly between ranks) and ``mean_hu`` in HU, ``volume_ml`` in ml. ``laa950_difference`` is upper − lower,
        positive where emphysema favours the upper zone. A zone without lung voxels, as with fewer than three slices,
        is NaN.

    Raises:
        ValueError: When the shapes differ or the mask is empty.
    """
    if hu_DHW.shape != lung_mask_DHW.shape or hu_DHW.shape != geometry.shape:
        raise ValueError(f"shapes differ: HU {hu_DHW.shape}, mask {lung_mask_DHW.shape}, geometry {geometry.shape}")
    lung_N = hu_DHW[lung_mask_DHW]
    if not lung_N.size:
        raise ValueError("the lung mask is empty")
    lower, middle, upper = (_laa(hu_DHW[zone][lung_mask_DHW[zone]], -950) for zone in _thirds(lung_mask_DHW))
    values = (
        _laa(lung_N, -950),
        _laa(lung_N, -910),
        _laa(lung_N, -856),
        float(np.percentile(lung_N, 15)),
        float(lung_N.mean(dtype=np.float64)),
        lung_N.size * geometry.voxel_ml,
        upper,
        middle,
        lower,
        upper - lower,
    )
    return dict(zip(DENSITOMETRY_FIELDS, values, strict=True))


def _laa(hu_N: NDArray[np.number[Any]], threshold_hu: int) -> float:
    """Percentage strictly below a threshold; NaN of nothing."""
    return 100.0 * np.count_nonzero(hu_N < threshold_hu) / hu_N.size if hu_N.size else float("nan")


def _thirds(mask_DHW: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The slices of the lower, middle and upper third of the mask's height; a slice goes by its centre."""
    slices = np.flatnonzero(mask_DHW.any(axis=(1, 2)))
    first, height = int(slices[0]), int(slices[-1] - slices[0]) + 1
    # The count of centres i + ½ below height·k/3, in whole numbers.
    one, two = ((2 * height * k + 3) // 6 for k in (1, 2))
    return slice(first, first + one), slice(first + one, first + two), slice(first + two, first + height)
