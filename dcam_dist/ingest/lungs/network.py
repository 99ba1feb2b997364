"""Lung masks by the R231 network of the ``lungmask`` package (Hofmanninger et al. 2020), from a local weights file.

The package and its dependencies are an extra and are imported here alone. Nothing is downloaded: with a path, the
package reads that file, by ``torch.load``, which since torch 2.6 restores tensors and no other objects. The variable
that turns this off is refused.
"""

import hashlib
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.ingest.lungs.candidates import centre_of
from dcam_dist.ingest.lungs.components import largest
from dcam_dist.ingest.lungs.morphology import dilate
from dcam_dist.ingest.lungs.segmentation import LungSegmentation, assess
from dcam_dist.ingest.lungs.sides import LEFT, RIGHT, Sides
from dcam_dist.ingest.lungs.working import WORKING_MM, WorkingGrid
from dcam_dist.types import Geometry

SLAB = 16
"""Slices given to the network at once: it works on single slices, and the package holds several float copies."""
UNSAFE_LOADING = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"

Inferer = Any
"""A ``lungmask.LMInferer``."""


def network_lungs(hu_DHW: NDArray[np.int16], geometry: Geometry, weights: Path) -> LungSegmentation:
    """Segment the lungs of a chest CT with the R231 network.

    Args:
        hu_DHW: HU of a canonical volume: z inferior → superior, y anterior → posterior, x right → left.
        geometry: Its geometry.
        weights: The network's state, as the package's authors publish it.

    Returns:
        The mask, labelled as by ``segment_lungs``, and what is unusual about it.

    Raises:
        EnvironmentFault: Without the package, or with torch set to load any object from a file.
        UsageError: When the file is missing or holds something else.
        CaseRejected: ``no_lungs``.
    """
    inferer = _inferer(weights, weights_digest(weights))
    mask = np.empty(hu_DHW.shape, np.uint8)
    for start in range(0, len(hu_DHW), SLAB):
        mask[start : start + SLAB] = inferer.apply(hu_DHW[start : start + SLAB])
    _clean(mask, geometry)
    return assess(mask, hu_DHW, geometry)


def weights_digest(weights: Path) -> bytes:
    """SHA-256 of a weights file, so that cases made with others are made anew.

    Raises:
        UsageError: When the file cannot be read.
    """
    try:
        about = weights.stat()
        return _file_digest(weights, about.st_size, about.st_mtime_ns)
    except OSError:
        raise UsageError(f"{weights}: no such file; ingest.lungmask_weights is the path of the R231 weights") from None


@lru_cache(maxsize=1)
def _file_digest(weights: Path, *_state: int) -> bytes:
    with weights.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


@lru_cache(maxsize=1)
def _inferer(weights: Path, _digest: bytes) -> Inferer:
    if os.environ.get(UNSAFE_LOADING, "0").lower() not in {"", "0", "n", "no", "false"}:
        raise EnvironmentFault(f"{UNSAFE_LOADING} is set, so that a weights file could run code; unset it")
    with warnings.catch_warnings():  # the package silences the warnings of the whole process
        try:
            from lungmask import LMInferer
        except ImportError:
            fix = "pip install 'dcam-dist[lungmask]'"
            raise EnvironmentFault(f"ingest.lungmask_weights needs the package lungmask: {fix}") from None
        try:
            inferer = LMInferer(modelpath=str(weights), force_cpu=True, volume_postprocessing=False, tqdm_disable=True)
        except Exception:  # whatever a foreign file makes of torch's reader and of the network
            raise UsageError(f"{weights}: cannot be read as the weights of the R231 network") from None
    if inferer.model.last.out_channels != LEFT + 1:
        raise UsageError(f"{weights}: not a network of two lungs; ingest.lungmask_weights takes the weights of R231")
    return inferer


def _clean(mask_DHW: Sides, geometry: Geometry) -> None:
    """Keep the largest piece of either lung, and call the right one the one on the right; in place.

    In place of the package's own cleaning, which needs several copies of the whole scan.
    """
    grid = WorkingGrid.over(geometry)
    coarse = grid.sample(mask_DHW)
    main = {side: largest(coarse == side) for side in (RIGHT, LEFT)}
    centre_x = {side: centre_of(piece)[2] for side, piece in main.items() if piece.any()}
    swapped = len(centre_x) > 1 and centre_x[RIGHT] > centre_x[LEFT]
    near = {side: dilate(piece, WORKING_MM) for side, piece in main.items()}
    z_index, y_index, x_index = (grid.nearest(axis) for axis in range(3))
    for z, mask_HW in enumerate(mask_DHW):
        kept = {side: near[side][z_index[z]][y_index][:, x_index] & (mask_HW == side) for side in near}
        right, left = (kept[LEFT], kept[RIGHT]) if swapped else (kept[RIGHT], kept[LEFT])
        mask_HW[:] = RIGHT * right + LEFT * left
