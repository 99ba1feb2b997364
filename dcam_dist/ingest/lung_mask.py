"""The lung mask of a scan: the given one where there is one, else computed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import canonical, same_space
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.images import image_suffix, read_volume
from dcam_dist.ingest.lungs import segment_lungs
from dcam_dist.ingest.scan import Scan

PLACE_TOLERANCE = 0.25
"""Share of the smallest voxel edge by which the corners of mask and scan may differ (formats round differently)."""


def lung_mask_of(scan: Scan, given: Path | None, *, max_voxels: int) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The lungs of a scan, of the shape of ``scan.hu_DHW``, and what is unusual about them.

    Args:
        scan: The scan on canonical axes.
        given: An image file whose nonzero voxels are lung, on the scan's grid but with axes in any order.
        max_voxels: Largest mask to read.

    Raises:
        CaseRejected: ``mask_mismatch``, ``mask_empty``, a reason of the mask file's own, or ``no_lungs``.
    """
    if given is None:
        computed = segment_lungs(scan.hu_DHW, scan.geometry)
        return computed.mask_DHW, computed.flags
    return _read_mask(scan, given, max_voxels), ()


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
