"""A lung mask and its judgement, whichever way it was made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.lungs.plausibility import Findings, judge
from dcam_dist.ingest.lungs.sides import LEFT, RIGHT, Sides
from dcam_dist.types import Geometry


@dataclass(frozen=True, eq=False)
class LungSegmentation:
    """A lung mask.

    Attributes:
        mask_DHW: uint8 on the scan's grid: 0 outside, 1 the patient's right lung, 2 the left; with their vessels,
            without trachea and main bronchi.
        flags: Findings that do not exclude the case; see ``plausibility``.
        right_ml: Volume of the patient's right lung.
        left_ml: Volume of the left lung.
        mean_hu: Mean HU of both.
    """

    mask_DHW: Sides
    flags: tuple[str, ...]
    right_ml: float
    left_ml: float
    mean_hu: float


def assess(
    mask_DHW: Sides,
    hu_DHW: NDArray[np.int16],
    geometry: Geometry,
    *,
    trachea_found: bool = True,
    air_pocket_ml: float = 0.0,
) -> LungSegmentation:
    """Measure a labelled mask and name what is unusual about it.

    Args:
        mask_DHW: 0, right and left on the scan's grid.
        hu_DHW: The scan.
        geometry: Of both.
        trachea_found: Whether the airways were found and taken out.
        air_pocket_ml: The largest space of plain air in it.

    Raises:
        CaseRejected: ``no_lungs``, when the mask is empty.
    """
    voxels = {RIGHT: 0, LEFT: 0}
    total = 0
    for hu_HW, mask_HW in zip(hu_DHW, mask_DHW, strict=True):  # by slices: a scan's worth of temporaries is saved
        for side in voxels:
            inside_N = hu_HW[mask_HW == side]
            voxels[side] += inside_N.size
            total += int(inside_N.sum(dtype=np.int64))
    if not any(voxels.values()):
        raise no_lungs()
    right_ml, left_ml = (voxels[side] * geometry.voxel_ml for side in (RIGHT, LEFT))
    findings = Findings(
        right_ml=right_ml,
        left_ml=left_ml,
        mean_hu=total / sum(voxels.values()),
        trachea_found=trachea_found,
        air_pocket_ml=air_pocket_ml,
    )
    return LungSegmentation(mask_DHW, judge(findings), right_ml, left_ml, findings.mean_hu)


def no_lungs() -> CaseRejected:
    """What to raise where nothing can be a lung."""
    detail = "no air inside the body has the size and density of a lung; check the scan, or give its lung mask"
    return CaseRejected(Reason.NO_LUNGS, detail)
