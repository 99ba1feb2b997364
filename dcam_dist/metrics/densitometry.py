"""Lung densitometry: the numbers by which emphysema is read from a CT's histogram.

LAA-T is the low attenuation area: the share of lung voxels strictly below T HU, −950 (emphysema; Gevenois et al. 1996)
and −910 (milder emphysema) in inspiration, −856 (air trapping) in expiration. Perc15 is the 15th percentile of the HU
histogram (Dirksen et al. 1999). The zones are equal thirds of the height of the lungs' extent along z.

HU are whole numbers, so all of this is read from one histogram for each lung and zone, made slice by slice. What
depends on where voxels lie among each other, ``laa950_core``, ``laa950_peel`` and ``laa950_cluster_d``, is measured on
the box around the lungs: ``core_peel``, ``emphysema_clusters``.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.metrics.core_peel import DISTANCE_MM, peel_of
from dcam_dist.metrics.emphysema_clusters import cluster_exponent
from dcam_dist.types import Geometry

ZONES = ("lower", "middle", "upper")
SIDES = ("right", "left")
REGIONS = tuple(f"laa950_{side}_{zone}" for side in SIDES for zone in reversed(ZONES))
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
    *REGIONS,
    "laa950_regions_sd",
    "laa950_core",
    "laa950_peel",
    "laa950_peel_difference",
    "laa950_cluster_d",
)
"""The names, in the order of tables: percentages of lung voxels, HU, HU, millilitres, percentages; then millilitres and
percentages of the patient's right and left lung, percentages of their zones and the standard deviation of these; of
core and peel; and the exponent D, which has no unit. Cohorts of an older version lack all from ``REGIONS`` on."""

EMPHYSEMA_HU = -950
ROOM_MM = 2 * DISTANCE_MM
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
        positive where emphysema favours the upper zone; ``laa950_peel_difference`` is peel − core, positive where it
        favours the lungs' surface. ``laa950_regions_sd`` is the standard deviation of the LAA-950 of the six regions,
        three zones of two lungs, each counted once: 0 where emphysema is everywhere alike (an index of ours).
        A region without lung voxels has an LAA of NaN, and so has what is made of it; where the sides are not known,
        their values are NaN.

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
    values = {
        **_of_whole(counts_ZSH, geometry.voxel_ml),
        **_of_sides(counts_ZSH if lung_mask_DHW.dtype != np.bool_ else None, geometry.voxel_ml),
        **_of_places(hu_DHW, lung_mask_DHW, geometry.spacing_mm),
    }
    return {name: values[name] for name in DENSITOMETRY_FIELDS}


def thirds(mask_DHW: NDArray[Any]) -> tuple[slice, slice, slice]:
    """The slices of the lower, middle and upper third of the height of a mask's extent; a slice goes by its centre.

    Args:
        mask_DHW: A mask that is not empty, z inferior → superior.
    """
    slices = np.flatnonzero(mask_DHW.any(axis=(1, 2)))
    first, height = int(slices[0]), int(slices[-1] - slices[0]) + 1
    # The count of centres i + ½ below height·k/3, in whole numbers.
    one, two = ((2 * height * k + 3) // 6 for k in (1, 2))
    return slice(first, first + one), slice(first + one, first + two), slice(first + two, first + height)


def _of_whole(counts_ZSH: Counts, voxel_ml: float) -> dict[str, float]:
    """Values of both lungs together and of their zones."""
    whole_H = counts_ZSH.sum(axis=(0, 1))
    zones = {f"laa950_{zone}": _laa(zone_H) for zone, zone_H in zip(ZONES, counts_ZSH.sum(axis=1), strict=True)}
    return {
        "laa950": _laa(whole_H),
        "laa910": _laa(whole_H, -910),
        "laa856": _laa(whole_H, -856),
        "perc15": _percentile(whole_H, 0.15),
        "mean_hu": float(whole_H @ np.arange(LOWEST_HU, -LOWEST_HU) / whole_H.sum()),
        "volume_ml": float(whole_H.sum()) * voxel_ml,
        **zones,
        "laa950_difference": zones["laa950_upper"] - zones["laa950_lower"],
    }


def _of_sides(counts_ZSH: Counts | None, voxel_ml: float) -> dict[str, float]:
    """Values of each lung and of its zones; ``None``: the sides are not known."""
    unknown = counts_ZSH is None
    counts_ZSH = np.zeros((3, 2, 2**16), np.int64) if counts_ZSH is None else counts_ZSH
    values: dict[str, float] = {}
    for side, counts_ZH in zip(SIDES, counts_ZSH.swapaxes(0, 1), strict=True):
        values[f"volume_{side}_ml"] = float("nan") if unknown else float(counts_ZH.sum()) * voxel_ml
        values[f"laa950_{side}"] = _laa(counts_ZH.sum(axis=0))
        values |= {f"laa950_{side}_{zone}": _laa(zone_H) for zone, zone_H in zip(ZONES, counts_ZH, strict=True)}
    return values | {"laa950_regions_sd": float(np.std([values[name] for name in REGIONS]))}


def _of_places(
    hu_DHW: NDArray[np.int16], lung_mask_DHW: NDArray[Any], spacing_mm: tuple[float, float, float]
) -> dict[str, float]:
    """Core, peel and cluster exponent: what depends on where voxels lie among each other."""
    box = _box(lung_mask_DHW, spacing_mm)
    lungs_DHW = lung_mask_DHW[box] != 0
    low_DHW = lungs_DHW & (hu_DHW[box] < EMPHYSEMA_HU)
    peel_DHW = peel_of(lungs_DHW, spacing_mm)
    lungs, low, peel = (int(np.count_nonzero(mask_DHW)) for mask_DHW in (lungs_DHW, low_DHW, peel_DHW))
    low_peel = int(np.count_nonzero(low_DHW & peel_DHW))
    core_laa, peel_laa = _share(low - low_peel, lungs - peel), _share(low_peel, peel)
    return {
        "laa950_core": core_laa,
        "laa950_peel": peel_laa,
        "laa950_peel_difference": peel_laa - core_laa,
        "laa950_cluster_d": cluster_exponent(low_DHW),
    }


def _box(lung_mask_DHW: NDArray[Any], spacing_mm: tuple[float, float, float]) -> tuple[slice, ...]:
    """The box around the lungs, with room outside of them as far as the volume has it."""
    slices = np.flatnonzero(lung_mask_DHW.any(axis=(1, 2)))
    seen_HW = np.asarray(lung_mask_DHW[slices[0] : slices[-1] + 1].any(axis=0), np.bool_)
    places = (slices, np.flatnonzero(seen_HW.any(axis=1)), np.flatnonzero(seen_HW.any(axis=0)))
    rooms = (math.ceil(ROOM_MM / mm) for mm in spacing_mm)
    return tuple(slice(max(0, at[0] - room), at[-1] + room + 1) for at, room in zip(places, rooms, strict=True))


def _count(hu_DHW: NDArray[np.int16], lung_mask_DHW: NDArray[Any]) -> Counts:
    """Histograms of the lower, middle and upper zone (axis 0) of the right and the left lung (axis 1)."""
    counts_ZSH = np.zeros((3, 2, 2**16), np.int64)
    for zone, slices in enumerate(thirds(lung_mask_DHW)):
        for hu_HW, mask_HW in zip(hu_DHW[slices], lung_mask_DHW[slices], strict=True):
            for side in (0, 1):
                hu_N = hu_HW[mask_HW == side + 1]
                if hu_N.size:
                    counts_ZSH[zone, side] += np.bincount(hu_N.astype(np.intp) - LOWEST_HU, minlength=2**16)
    return counts_ZSH


def _laa(counts_H: Counts, threshold_hu: int = EMPHYSEMA_HU) -> float:
    """Percentage strictly below a threshold; NaN of nothing."""
    return _share(int(counts_H[: threshold_hu - LOWEST_HU].sum()), int(counts_H.sum()))


def _share(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else float("nan")


def _percentile(counts_H: Counts, share: float) -> float:
    """HU below which a share of the voxels lies, linear between the two nearest ranks."""
    below_H = np.cumsum(counts_H)
    rank = share * (int(below_H[-1]) - 1)
    ranks = (math.floor(rank), math.ceil(rank))
    low, high = (int(np.searchsorted(below_H, position, side="right")) for position in ranks)
    return LOWEST_HU + low + (high - low) * (rank - ranks[0])
