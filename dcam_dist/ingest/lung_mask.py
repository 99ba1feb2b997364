"""The lung mask of a scan: the given one where there is one, else computed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import canonical, same_space
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.images import image_suffix, read_volume
from dcam_dist.ingest.lungs import (
    CUT,
    CUT_CM2,
    LEFT,
    RIGHT,
    SIDES,
    assess,
    cut_area_cm2,
    label_sides,
    network_lungs,
    refusal,
    segment_lungs,
)
from dcam_dist.ingest.scan import Scan
from dcam_dist.types import Geometry

PLACE_TOLERANCE = 0.25
"""Share of the smallest voxel edge by which the corners of mask and scan may differ (formats round differently)."""
ROUNDING = 1e-4
"""By how much a label may differ from a whole number: some formats scale what they store."""
OTHER = 3
"""Stands for all labels but the right and the left lung's."""


def lung_mask_of(scan: Scan, given: Path | None, config: IngestConfig) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The lungs of a scan, and what is unusual about them.

    Args:
        scan: The scan on canonical axes.
        given: An image file of whole numbers whose nonzero voxels are lung, on the scan's grid but with axes in any
            order.
        config: Largest mask to read, whether cut lungs are kept, and the weights of a network to use.

    Returns:
        uint8 of the shape of ``scan.hu_DHW``: 0 outside, 1 the patient's right lung, 2 the left; and flags.

    Raises:
        CaseRejected: ``mask_mismatch``, ``mask_empty``, a reason of the mask file's own, ``no_lungs``, or
            ``lungs_cut`` where the first or last slice cuts them and ``config`` does not allow that.
        UsageError: The network's weights are missing or no such weights.
        EnvironmentFault: The network's package is missing.
    """
    if given is not None:
        mask_DHW, flags = _given(scan, _read_mask(scan, given, config.max_voxels))
    else:
        mask_DHW, flags = _computed(scan, config.lungmask_weights)
    return mask_DHW, (*flags, *_cut(mask_DHW, scan.geometry, allowed=config.allow_cut_lungs))


def _given(scan: Scan, labels_DHW: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    sides_DHW = label_sides(labels_DHW > 0, scan.hu_DHW, scan.geometry)
    found = assess(sides_DHW, scan.hu_DHW, scan.geometry)
    if (why := refusal(found.right_ml + found.left_ml, found.mean_hu)) is not None:
        raise CaseRejected(Reason.MASK_MISMATCH, why)
    return sides_DHW, found.flags + ((SIDES,) if _sides_differ(labels_DHW, sides_DHW) else ())


def _sides_differ(labels_DHW: NDArray[np.uint8], sides_DHW: NDArray[np.uint8]) -> bool:
    """Whether a mask of two lungs in the store's own numbers has most of its voxels on the other side."""
    if (labels_DHW == OTHER).any() or not ((labels_DHW == RIGHT).any() and (labels_DHW == LEFT).any()):
        return False
    return bool(2 * np.count_nonzero(labels_DHW != sides_DHW) > np.count_nonzero(sides_DHW))


def _computed(scan: Scan, weights: Path | None) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    if weights is not None:
        found = network_lungs(scan.hu_DHW, scan.geometry, weights)
    else:
        found = segment_lungs(scan.hu_DHW, scan.geometry)
    return found.mask_DHW, found.flags


def _cut(mask_DHW: NDArray[np.uint8], geometry: Geometry, *, allowed: bool) -> tuple[str, ...]:
    area_cm2 = cut_area_cm2(mask_DHW, geometry)
    if area_cm2 < CUT_CM2:
        return ()
    if allowed:
        return (CUT,)
    what = f"the first or last slice cuts the lungs over {area_cm2:.0f} cm²"
    raise CaseRejected(Reason.LUNGS_CUT, f"{what}; ingest.allow_cut_lungs=true keeps such scans")


def _read_mask(scan: Scan, given: Path, max_voxels: int) -> NDArray[np.uint8]:
    """A given mask on the scan's axes: right, left, other, and 0 outside."""
    if image_suffix(given) is None:
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "the lung mask is no NIfTI, NRRD or MetaImage file")
    try:
        values, geometry = read_volume(given, max_voxels=max_voxels)
    except CaseRejected as fault:
        raise CaseRejected(fault.reason, f"lung mask: {fault.detail}") from None
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise CaseRejected(Reason.NOT_FINITE, "lung mask: voxels are NaN or infinite")
    labels_DHW, turned = canonical(_labels(values), geometry)
    if turned.shape != scan.geometry.shape:
        raise CaseRejected(
            Reason.MASK_MISMATCH, f"the lung mask has {turned.shape} voxels (z, y, x), the scan {scan.geometry.shape}"
        )
    if not same_space(turned, scan.geometry, tolerance_mm=PLACE_TOLERANCE * min(scan.geometry.spacing_mm)):
        raise CaseRejected(Reason.MASK_MISMATCH, "the lung mask and the scan lie at different places (affines differ)")
    if not labels_DHW.any():
        raise CaseRejected(Reason.MASK_EMPTY, "the lung mask holds no voxel; leave it out to have one computed")
    return labels_DHW


def _labels(values_DHW: NDArray[Any]) -> NDArray[np.uint8]:
    labels_DHW = np.empty(values_DHW.shape, np.uint8)
    for values, labels in zip(values_DHW, labels_DHW, strict=True):  # by slices: temporaries of a scan's size are saved
        whole = np.rint(values) if values.dtype.kind == "f" else values
        if whole is not values and not (np.abs(values - whole) <= ROUNDING).all():
            raise CaseRejected(
                Reason.MASK_MISMATCH, "the lung mask holds values that are no labels; threshold it first"
            )
        np.minimum(whole, OTHER, out=labels, casting="unsafe")
        if values.dtype.kind != "u":
            labels[whole < 0] = OTHER
    return labels_DHW
