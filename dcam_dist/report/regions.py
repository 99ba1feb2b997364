"""Where in the lungs the maps of a case speak for its class: by thirds of the height, and by core and peel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.maps.compute import MappedCase, softmax
from dcam_dist.metrics.core_peel import peel_of
from dcam_dist.metrics.densitometry import ZONES, thirds

REGIONS = ("upper", "middle", "lower", "core", "peel")


@dataclass(frozen=True)
class RegionShares:
    """One class in one region of the lungs, over some cases.

    Attributes:
        region: One of ``REGIONS``.
        probability: Mean probability of the class, over voxels and then over cases.
        winning: Share of the voxels in which its map is the largest, in the same way.
    """

    region: str
    probability: float
    winning: float


def region_masks(lungs_DHW: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> dict[str, NDArray[np.bool_]]:
    """The regions of a lung mask with canonical axes (z inferior → superior).

    Upper, middle and lower are the thirds of densitometry, and the peel is ``core_peel``'s layer along
    the surface of the lungs, the core the rest.

    Args:
        lungs_DHW: bool.
        spacing_mm: Along (z, y, x).
    """
    peel_DHW = peel_of(lungs_DHW, spacing_mm)
    masks = {"core": lungs_DHW & ~peel_DHW, "peel": peel_DHW}
    for zone, slices in zip(ZONES, thirds(lungs_DHW), strict=True):
        masks[zone] = np.zeros_like(lungs_DHW)
        masks[zone][slices] = lungs_DHW[slices]
    return masks


def region_shares(mapped: MappedCase, class_id: int) -> dict[str, tuple[float, float]]:
    """Mean probability and winning share of a class in each region of one case; NaN in an empty region."""
    probability_KDHW = softmax(mapped.maps.dense_KDHW)
    wins_DHW = mapped.maps.dense_KDHW.argmax(axis=0) == class_id
    masks = region_masks(mapped.lung_mask_DHW, mapped.record.grid.spacing_mm)
    nothing = float("nan"), float("nan")
    return {
        name: (float(probability_KDHW[class_id][mask].mean()), float(wins_DHW[mask].mean())) if mask.any() else nothing
        for name, mask in masks.items()
    }


def mean_shares(of_cases: list[dict[str, tuple[float, float]]]) -> tuple[RegionShares, ...]:
    """The mean over cases; empty without one."""
    if not of_cases:
        return ()
    found = []
    for region in REGIONS:
        pair = np.array([shares[region] for shares in of_cases], dtype=np.float64)
        known = pair[~np.isnan(pair).any(axis=1)]
        if len(known):
            found.append(RegionShares(region, *(float(value) for value in known.mean(axis=0))))
    return tuple(found)
