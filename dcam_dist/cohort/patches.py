"""Random patches that hold lung: where one lies follows from a seed and the lung mask alone."""

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]

LEAST_LUNG = 1 / 8  # of a patch's voxels: its lung mean then spans more than a rim of the lung
TRIES = 16


def lung_patch(lung_mask_DHW: NDArray[np.bool_], shape: tuple[int, int, int], seed: int) -> Box:
    """Draw the place of a patch around a lung voxel.

    The centre is uniform over the lung voxels; at the border the patch is shifted inside. Of up to ``TRIES`` centres
    the first is taken whose patch is lung for at least ``LEAST_LUNG`` of its voxels, else the one with the most lung.
    The centre is inside its patch, so no patch is without lung.

    Args:
        lung_mask_DHW: The whole mask, with at least one lung voxel.
        shape: Of the patch, at most the mask's.
        seed: The only source of chance.

    Returns:
        Slices along (z, y, x).
    """
    rng = np.random.default_rng(seed)
    before_D = np.cumsum([np.count_nonzero(plane) for plane in lung_mask_DHW])
    wanted = LEAST_LUNG * np.prod(shape)
    best, most = None, -1
    for number in rng.integers(before_D[-1], size=TRIES):
        box = _around(_lung_voxel(lung_mask_DHW, before_D, int(number)), shape, lung_mask_DHW.shape)
        lung = int(np.count_nonzero(lung_mask_DHW[box]))
        if lung > most:
            best, most = box, lung
        if lung >= wanted:
            break
    assert best is not None  # noqa: S101
    return best


def _lung_voxel(mask_DHW: NDArray[np.bool_], before_D: NDArray[np.int64], number: int) -> tuple[int, int, int]:
    """Index of the lung voxel of that number, counted along z, y, x."""
    z = int(np.searchsorted(before_D, number, side="right"))
    in_plane = np.flatnonzero(mask_DHW[z])[number - (before_D[z - 1] if z else 0)]
    y, x = divmod(int(in_plane), mask_DHW.shape[2])
    return z, y, x


def _around(centre: tuple[int, int, int], shape: tuple[int, int, int], whole: tuple[int, ...]) -> Box:
    starts = [
        min(max(middle - size // 2, 0), limit - size) for middle, size, limit in zip(centre, shape, whole, strict=True)
    ]
    z, y, x = (slice(start, start + size) for start, size in zip(starts, shape, strict=True))
    return z, y, x
