"""The lung mask of a scan: the given one where there is one, else computed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import canonical, same_space
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.images import image_suffix, read_volume
from dcam_dist.ingest.lungs import CUT, CUT_CM2, cut_area_cm2, label_sides, network_lungs, segment_lungs
from dcam_dist.ingest.scan import Scan
from dcam_dist.types import Geometry

PLACE_TOLERANCE = 0.25
"""Share of the smallest voxel edge by which the corners of mask and scan may differ (formats round differently)."""


def lung_mask_of(scan: Scan, given: Path | None, config: IngestConfig) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The lungs of a scan, and what is unusual about them.

    Args:
        scan: The scan on canonical axes.
        given: An image file whose nonzero voxels are lung, on the scan's grid but with axes in any order.
        config: Largest mask to read, whether cut lungs are kept, and the weights of a network to use.

    Returns:
        uint8 of the shape of ``scan.hu_DHW``: 0 outside, 1 the patient's right lung, 2 the left; and flags.

    Raises:
        CaseRejected: ``mask_mismatch``, ``mask_empty``, a reason of the mask file's own, ``no_lungs``, or
            ``lungs_cut`` where the first or last slice cuts them and ``config`` does not allow that.
        UsageError: The network's weights are missing or no such weights.
        EnvironmentFault: The network's package is missing.
    """
    flags: tuple[str, ...] = ()
    if given is not None:
        mask_DHW = label_sides(_read_mask(scan, given, config.max_voxels), scan.hu_DHW, scan.geometry)
    else:
        mask_DHW, flags = _computed(scan, config.lungmask_weights)
    return mask_DHW, (*flags, *_cut(mask_DHW, scan.geometry, allowed=config.allow_cut_lungs))


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


def _read_mask(scan: Scan, given: Path, max_voxels: int) -> NDArray[np.bool_]:
    if image_suffix(given) is None:
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "the lung mask is no NIfTI, NRRD or MetaImage file")
    try:
        values, geometry = read_volume(given, max_voxels=max_voxels)
    except CaseRejected as fault:
        raise CaseRejected(fault.reason, f"lung mask: {fault.detail}") from None
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise CaseRejected(Reason.NOT_FINITE, "lung mask: voxels are NaN or infinite")
    given_DHW: NDArray[np.bool_] = np.not_equal(values, 0)
    mask_DHW, turned = canonical(given_DHW, geometry)
    if turned.shape != scan.geometry.shape:
        raise CaseRejected(
            Reason.MASK_MISMATCH, f"the lung mask has {turned.shape} voxels (z, y, x), the scan {scan.geometry.shape}"
        )
    if not same_space(turned, scan.geometry, tolerance_mm=PLACE_TOLERANCE * min(scan.geometry.spacing_mm)):
        raise CaseRejected(Reason.MASK_MISMATCH, "the lung mask and the scan lie at different places (affines differ)")
    if not mask_DHW.any():
        raise CaseRejected(Reason.MASK_EMPTY, "the lung mask holds no voxel; leave it out to have one computed")
    return mask_DHW
