"""Maps, lungs and winning classes in any space: the scan's own, that of its slices, the crop that the cohort stores."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import resample, to_sitk
from dcam_dist.errors import UsageError
from dcam_dist.maps.compute import Floats, MappedCase
from dcam_dist.types import Geometry

Labels = NDArray[np.uint8]

MOST_MAPS = 255


def labels_in(labels_DHW: NDArray[np.uint8] | NDArray[np.bool_], where: Geometry, space: Geometry) -> Labels:
    """Labels or a mask sampled at the nearest voxels of another space; uint8, 0 beyond their own box.

    Args:
        labels_DHW: On the geometry ``where``.
        where: Their place.
        space: The space wanted.
    """
    sampled: Labels = resample(to_sitk(labels_DHW, where), space, interpolation="nearest", outside=0)
    return sampled


def maps_in(mapped: MappedCase, space: Geometry, lung_mask_DHW: NDArray[np.bool_]) -> Iterator[Floats]:
    """The dCAMs of a case in logits, one after the other; linear from the training grid, 0 outside the lungs.

    Args:
        mapped: The case.
        space: The space wanted.
        lung_mask_DHW: The lungs in that space.
    """
    for dense_DHW in mapped.maps.dense_KDHW:
        logits: Floats = resample(to_sitk(dense_DHW, mapped.record.grid), space, interpolation="linear", outside=0)
        logits[~lung_mask_DHW] = 0
        yield logits


def winner_of(maps: Iterable[Floats], lung_mask_DHW: NDArray[np.bool_]) -> Labels:
    """Which map is largest in each voxel of the lungs: 1 for the first, 2 for the second …; 0 outside the lungs.

    Raises:
        UsageError: When there are more maps than a byte counts.
    """
    best = np.full(lung_mask_DHW.shape, -np.inf, dtype=np.float32)
    winner = np.zeros(lung_mask_DHW.shape, dtype=np.uint8)
    for number, logits in enumerate(maps, start=1):
        if number > MOST_MAPS:
            raise UsageError(f"more than {MOST_MAPS} classes have no common picture: a winning class is one byte")
        ahead = lung_mask_DHW & (logits > best)
        best[ahead], winner[ahead] = logits[ahead], number
    return winner
