"""Which of the air inside the body is lung."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dcam_dist.ingest.lungs.components import VOXEL_ML, Chest, Labels
from dcam_dist.ingest.lungs.morphology import erode
from dcam_dist.ingest.lungs.working import WORKING_MM, Mask

LUNG_ML = 200.0
"""The least volume of the larger lung; sinuses, the trachea and most bowel gas hold less."""
LUNG_SHARE = 0.1
"""A further lung, or part of one, has at least this share of the first one's volume."""
SHRUNKEN_ML = 60.0
"""The least volume of a lung that is shrunken, displaced or mostly consolidated, on the side that has no other."""
BASE_SHARE = 1 / 3
"""Such a rest, or a third piece, is centred above this share of the first lung's height: bowel gas lies below."""
PARENCHYMA_HU = -930.0
"""Air whose median is that of gas is a lung nevertheless where a tenth of it lies above this: one with large bullae."""


@dataclass(frozen=True, eq=False)
class _Piece:
    number: int
    volume_ml: float
    centre_zyx: NDArray[np.float64]
    bottom: int
    top: int


def select_lungs(air_DHW: Mask, hu_DHW: NDArray[np.float32], chest: Chest) -> Mask:
    """The components of the air in the body that are lungs or large parts of one.

    Args:
        air_DHW: Air inside the body without the airways, on the working grid.
        hu_DHW: HU on the same grid.
        chest: The body and the air around it.

    Returns:
        The lungs; all False when no component qualifies.
    """
    labels, count = ndimage.label(air_DHW)
    chosen: list[_Piece] = []
    for piece in _pieces(labels, hu_DHW, chest.gas_hu):
        if _is_lung(piece, chosen, chest.middle):
            chosen.append(piece)
    kept = np.zeros(count + 1, np.bool_)
    kept[[piece.number for piece in chosen]] = True
    lungs: Mask = kept[labels]
    return lungs


def _pieces(labels_DHW: Labels, hu_DHW: NDArray[np.float32], gas_hu: float) -> list[_Piece]:
    """The components that are large enough and no plain gas, the largest first."""
    volume_ml = np.bincount(labels_DHW.ravel()) * VOXEL_ML
    volume_ml[0] = 0.0
    boxes = ndimage.find_objects(labels_DHW)
    pieces = []
    for number in np.argsort(-volume_ml, kind="stable").tolist():
        if volume_ml[number] < SHRUNKEN_ML:
            break
        box = boxes[number - 1]
        inside = labels_DHW[box] == number
        if not _is_gas(hu_DHW[box], inside, gas_hu):
            centre = centre_of(inside) + [part.start for part in box]
            pieces.append(_Piece(number, float(volume_ml[number]), centre, box[0].start, box[0].stop))
    return pieces


def _is_gas(hu_DHW: NDArray[np.float32], inside_DHW: Mask, gas_hu: float) -> bool:
    """Whether a component is plain gas; its surface, blurred with the wall, does not count."""
    core = hu_DHW[erode(np.pad(inside_DHW, 1), WORKING_MM)[1:-1, 1:-1, 1:-1]]
    if not core.size:
        return True
    median, upper = np.percentile(core, (50, 90))
    return bool(median < gas_hu and upper < PARENCHYMA_HU)


def _is_lung(piece: _Piece, chosen: list[_Piece], middle: float) -> bool:
    if not chosen:
        return piece.volume_ml >= LUNG_ML
    first = chosen[0]
    high = piece.centre_zyx[0] > first.bottom + BASE_SHARE * (first.top - first.bottom)
    if piece.volume_ml >= max(LUNG_ML, LUNG_SHARE * first.volume_ml):
        return bool(high or len(chosen) == 1)
    alone = all((other.centre_zyx[2] < middle) != (piece.centre_zyx[2] < middle) for other in chosen)
    return bool(high and alone)


def centre_of(mask_DHW: Mask) -> NDArray[np.float64]:
    """Centre of mass (z, y, x) of a mask that is not empty."""
    counts = [mask_DHW.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    return np.array([float(np.average(np.arange(len(count)), weights=count)) for count in counts])
