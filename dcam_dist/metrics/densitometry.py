"""Lung densitometry: the numbers by which emphysema is read from a CT's histogram.

LAA-T is the low attenuation area: the share of lung voxels strictly below T HU, −950 (emphysema; Gevenois et al. 1996)
and −910 (milder emphysema) in inspiration, −856 (air trapping) in expiration. Perc15 is the 15th percentile of the HU
histogram (Dirksen et al. 1999). The zones are equal thirds of the height of the lungs' extent along z.

HU are whole numbers, so all of it is read from one histogram for each lung and zone, made slice by slice.
"""

import math
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
    "volume_right_ml",
    "volume_left_ml",
    "laa950_right",
    "laa950_left",
)
"""The names, in the order of tables: percentages of lung voxels, HU, HU, millilitres, percentages; then millilitres and
percentages of the patient's right and left lung."""

LOWEST_HU = -(2**15)
Counts = NDArray[np.int64]
"""Voxels by HU from ``LOWEST_HU`` on, along the last axis."""


def densitometry(hu_DHW: NDArray[np.int16], lung_mask_DHW: NDArray[Any], geometry: Geometry) -> dict[str, float]:
    """Measure the density of the lungs.

    Args:
        hu_DHW: int16 HU of a canonical volume (z inferior → superior), shape (D, H, W).
        lung_mask_DHW: The lungs, same shape: 0 outside, 1 right, 2 left; or bool, where the sides are not known.
        geometry: The volume's geometry.

    Returns:
        One value for each of ``DENSITOMETRY_FIELDS``, in that order: ``laa*`` in percent, ``perc15`` (interpolated
        linearly between ranks) and ``mean_hu`` in HU, ``volume_*`` in ml. ``laa950_difference`` is upper − lower,
        positive where emphysema favours the upper zone. A zone or side without lung voxels has an LAA of NaN; where
        the sides are not known, their values are NaN.

    Raises:
        ValueError: When the shapes differ, the mask is empty, or the HU are not int16.
    """
    if hu_DHW.shape != lung_mask_DHW.shape or hu_DHW.shape != geometry.shape:
        raise ValueError(f"shapes differ: HU {hu_DHW.shape}, mask {lung_mask_DHW.shape}, geometry {geometry.shape}")
    if hu_DHW.dtype != np.int16:
        raise ValueError(f"HU are int16, not {hu_DHW.dtype}")
    if not lung_mask_DHW.any():
        raise ValueError("the lung mask is empty")
    counts_ZSH = _count(hu_DHW, lung_mask_DHW)
    whole_H, side_SH = counts_ZSH.sum(axis=(0, 1)), counts_ZSH.sum(axis=0)
    lower, middle, upper = (_laa(zone_H, -950) for zone_H in counts_ZSH.sum(axis=1))
    right_ml, left_ml = (float(side_H.sum()) * geometry.voxel_ml for side_H in side_SH)
    right, left = (_laa(side_H, -950) for side_H in side_SH)
    sides = (right_ml, left_ml, right, left) if lung_mask_DHW.dtype != np.bool_ else (float("nan"),) * 4
    values = (
        _laa(whole_H, -950),
        _laa(whole_H, -910),
        _laa(whole_H, -856),
        _percentile(whole_H, 0.15),
        float(whole_H @ np.arange(LOWEST_HU, -LOWEST_HU) / whole_H.sum()),
        float(whole_H.sum()) * geometry.voxel_ml,
        upper,
        middle,
        lower,
        upper - lower,
        *sides,
    )
    return dict(zip(DENSITOMETRY_FIELDS, values, strict=True))


def _count(hu_DHW: NDArray[np.int16], lung_mask_DHW: NDArray[Any]) -> Counts:
    """Histograms of the lower, middle and upper zone (axis 0) of the right and the left lung (axis 1)."""
    counts_ZSH = np.zeros((3, 2, 2**16), np.int64)
    for zone, slices in enumerate(_thirds(lung_mask_DHW)):
        for hu_HW, mask_HW in zip(hu_DHW[slices], lung_mask_DHW[slices], strict=True):
            for side in (0, 1):
                hu_N = hu_HW[mask_HW == side + 1]
                if hu_N.size:
                    counts_ZSH[zone, side] += np.bincount(hu_N.astype(np.intp) - LOWEST_HU, minlength=2**16)
    return counts_ZSH


def _laa(counts_H: Counts, threshold_hu: int) -> float:
    """Percentage strictly below a threshold; NaN of nothing."""
    voxels = int(counts_H.sum())
    return 100.0 * int(counts_H[: threshold_hu - LOWEST_HU].sum()) / voxels if voxels else float("nan")


def _percentile(counts_H: Counts, share: float) -> float:
    """HU below which a share of the voxels lies, linear between the two nearest ranks."""
    below_H = np.cumsum(counts_H)
    rank = share * (int(below_H[-1]) - 1)
    ranks = (math.floor(rank), math.ceil(rank))
    low, high = (int(np.searchsorted(below_H, position, side="right")) for position in ranks)
    return LOWEST_HU + low + (high - low) * (rank - ranks[0])


def _thirds(mask_DHW: NDArray[Any]) -> tuple[slice, slice, slice]:
    """The slices of the lower, middle and upper third of the mask's height; a slice goes by its centre."""
    slices = np.flatnonzero(mask_DHW.any(axis=(1, 2)))
    first, height = int(slices[0]), int(slices[-1] - slices[0]) + 1
    # The count of centres i + ½ below height·k/3, in whole numbers.
    one, two = ((2 * height * k + 3) // 6 for k in (1, 2))
    return slice(first, first + one), slice(first + one, first + two), slice(first + two, first + height)
