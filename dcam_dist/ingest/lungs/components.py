"""Connected components of working masks: the body, the air inside it, and the lungs among that air."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dcam_dist.ingest.lungs.working import WORKING_MM, Mask, closed, opened

AIR_HU = -400.0
"""Between soft tissue (0 HU) and lung (about −850 HU)."""
SHEET_MM = 4.0
"""Sheets thinner than twice this (the shell of a table, blankets, tubes) are not thick tissue."""
LUNG_ML = 200.0
"""The least volume of a lung; sinuses, the trachea and most bowel gas hold less."""
LUNG_SHARE = 0.1
"""The second lung has at least this share of the first one's volume."""
GAS_HU = -985.0
"""Median HU below which a component is plain gas (bowel, air beside the arms): even destroyed lung lies above it."""
MIDLINE_MM = 40.0
"""How far the plane between the lungs may lie from the middle of the chest."""
VOXEL_ML = WORKING_MM**3 / 1000.0

Labels = NDArray[np.signedinteger[Any]]

IN_PLANE = np.zeros((3, 3, 3), np.bool_)
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


def body_and_air(hu_DHW: NDArray[np.float32]) -> tuple[Mask, Mask]:
    """The patient's thick tissue, and the air that the patient encloses.

    Air is enclosed slice by slice, since in three dimensions the airways open to the outside, and cut lungs at the
    first or last slice. All tissue that hangs together with the body encloses it, so that a thin chest wall holds; the
    hollow of a table that touches the back is told by having no body behind it.

    Args:
        hu_DHW: HU on the working grid.

    Returns:
        The body without sheets and without the air in it, and the air; both all False where there is no body.
    """
    tissue = hu_DHW > AIR_HU
    body = largest(opened(tissue, SHEET_MM))
    if not body.any():
        return body, body
    pieces, _ = ndimage.label(tissue)
    attached = np.equal(pieces, np.bincount(pieces[body & tissue]).argmax())
    return body, _mostly_within(fill_slices(attached) & ~tissue, _before_and_behind(body))


def _before_and_behind(body_DHW: Mask) -> Mask:
    """Where there is body both further to the front and further to the back."""
    behind = np.logical_or.accumulate(body_DHW, axis=1)
    before = np.logical_or.accumulate(body_DHW[:, ::-1], axis=1)[:, ::-1]
    between: Mask = behind & before
    return between


def _mostly_within(mask_DHW: Mask, region_DHW: Mask) -> Mask:
    """The components of a mask that have at least half of their voxels in a region."""
    labels, count = ndimage.label(mask_DHW)
    whole = np.bincount(labels.ravel(), minlength=count + 1)
    within = np.bincount(labels[region_DHW], minlength=count + 1)
    kept = 2 * within >= whole
    kept[0] = False
    result: Mask = kept[labels]
    return result


def largest(mask_DHW: Mask) -> Mask:
    """The component of a mask with the most voxels; all False when the mask is."""
    labels, count = ndimage.label(mask_DHW)
    if count == 0:
        return np.zeros_like(mask_DHW)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.equal(labels, sizes.argmax())


def fill_slices(mask_DHW: Mask) -> Mask:
    """Fill what a mask encloses within an axial slice."""
    labels, count = ndimage.label(~mask_DHW, structure=IN_PLANE)
    return _without(labels, count, labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1])


def fill_holes(mask_DHW: Mask) -> Mask:
    """Fill what a mask encloses in three dimensions."""
    labels, count = ndimage.label(~mask_DHW)
    faces = (np.moveaxis(labels, axis, 0)[[0, -1]] for axis in range(3))
    return _without(labels, count, *faces)


def _without(labels_DHW: Labels, count: int, *faces: Labels) -> Mask:
    """All but the labelled components that reach one of the faces."""
    outside = np.zeros(count + 1, np.bool_)
    for face in faces:
        outside[face.ravel()] = True
    # Label 0 is the mask itself, whether or not it touches a face.
    outside[0] = False
    filled: Mask = ~outside[labels_DHW]
    return filled


def select_lungs(air_DHW: Mask, hu_DHW: NDArray[np.float32]) -> Mask:
    """The one or two components of the air in the body that are lungs.

    Args:
        air_DHW: Air inside the body without the airways, on the working grid.
        hu_DHW: HU on the same grid.

    Returns:
        The lungs; all False when no component qualifies.
    """
    labels, count = ndimage.label(air_DHW)
    volume_ml = np.bincount(labels.ravel(), minlength=count + 1) * VOXEL_ML
    volume_ml[0] = 0.0
    kept = np.zeros(count + 1, np.bool_)
    for label in np.argsort(-volume_ml, kind="stable"):
        first_ml = volume_ml[kept].max(initial=0.0)
        if kept.sum() == 2 or volume_ml[label] < max(LUNG_ML, LUNG_SHARE * first_ml):
            break
        kept[label] = float(np.median(hu_DHW[labels == label])) >= GAS_HU
    lungs: Mask = kept[labels]
    return lungs


def midline(lungs_DHW: Mask, body_DHW: Mask) -> int:
    """The sagittal plane between the lungs: the column with the least lung near the middle of the chest.

    Args:
        lungs_DHW: A non-empty lung mask on the working grid.
        body_DHW: The thick tissue on the same grid.

    Returns:
        The column ``x``: the right lung lies below it, the left lung from it on.
    """
    chest = body_DHW[lungs_DHW.any(axis=(1, 2))].sum(axis=(0, 1), dtype=np.int64)
    middle = float(np.average(np.arange(len(chest)), weights=chest))
    reach = MIDLINE_MM / WORKING_MM
    near = np.arange(max(0, round(middle - reach)), min(len(chest), round(middle + reach) + 1))
    lung = lungs_DHW.sum(axis=(0, 1), dtype=np.int64)[near]
    least = near[lung == lung.min()]
    return int(least[len(least) // 2])


def close_each(lungs_DHW: Mask, plane: int, radius_mm: float) -> Mask:
    """Close the right and the left lung apart, so that the thin tissue between them stays out, and fill their holes."""
    result = np.zeros_like(lungs_DHW)
    for side in (np.s_[:, :, :plane], np.s_[:, :, plane:]):
        if lungs_DHW[side].any():
            result[side] = fill_holes(closed(lungs_DHW[side], radius_mm))
    return result
