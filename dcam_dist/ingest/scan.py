"""One scan in memory: clean HU on canonical axes, and where it came from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import canonical
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.types import Geometry

PADDING_HU = -2000
"""Values from here down are no HU but mark what lies outside the field of view."""
AIR_HU = -1000
HU_RANGE = (-1024, 3071)

_AIR_BELOW, _TISSUE_BETWEEN = -500, (-300, 300)
_LEAST_SHARE = 0.003


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan as the rest of ingest sees it.

    Attributes:
        hu_DHW: int16 HU within ``HU_RANGE`` on canonical axes, padding turned to air.
        geometry: Of ``hu_DHW``.
        scan_geometry: Of the files, on their own axes.
        format: ``dicom``, ``nifti``, ``nrrd`` or ``metaimage``.
        covariates: Allowed header fields.
        flags: Findings that do not exclude the scan.
    """

    hu_DHW: NDArray[np.int16]
    geometry: Geometry
    scan_geometry: Geometry
    format: str
    covariates: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def make_scan(hu_DHW: NDArray[np.int16], geometry: Geometry, *, format: str, **found: Any) -> Scan:
    """A scan from clean HU on the files' own axes.

    Args:
        hu_DHW: int16, as ``clean_hu`` makes it.
        geometry: Of the files.
        format: Name of the file format.
        found: Covariates and flags.

    Raises:
        CaseRejected: ``not_hounsfield``.
    """
    check_hounsfield(hu_DHW)
    turned, turned_geometry = canonical(hu_DHW, geometry)
    return Scan(turned, turned_geometry, geometry, format, **found)


def clean_hu(values: NDArray[Any]) -> NDArray[np.int16]:
    """Stored values as int16 HU: padding becomes air, the rest is rounded and clipped.

    Raises:
        CaseRejected: ``not_finite`` when a value is NaN or infinite.
    """
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise CaseRejected(Reason.NOT_FINITE, "voxels are NaN or infinite")
        values = np.rint(values)
    else:
        values = values.astype(np.result_type(values.dtype, np.int16), copy=False)
    return np.where(values <= PADDING_HU, AIR_HU, np.clip(values, *HU_RANGE)).astype(np.int16)


def check_hounsfield(hu_DHW: NDArray[np.int16]) -> None:
    """Refuse volumes whose values are not HU of a body in air: masks, raw detector values, normalized images.

    Voxels of exactly ``AIR_HU`` or the lowest HU do not count as air, for padding has become these: it would hide a
    wrong intercept. The air in lungs has other values.

    Raises:
        CaseRejected: ``not_hounsfield`` when there is next to no air or no soft tissue.
    """
    sample = hu_DHW[:: max(1, hu_DHW.shape[0] // 64), ::2, ::2]
    air = float(np.mean((sample < _AIR_BELOW) & (sample != AIR_HU) & (sample != HU_RANGE[0])))
    tissue = float(np.mean((sample > _TISSUE_BETWEEN[0]) & (sample < _TISSUE_BETWEEN[1])))
    if min(air, tissue) < _LEAST_SHARE:
        lowest, highest = int(hu_DHW.min()), int(hu_DHW.max())
        what = f"values from {lowest} to {highest} with {air:.1%} air and {tissue:.1%} soft tissue"
        raise CaseRejected(Reason.NOT_HOUNSFIELD, f"{what} are no HU of a chest; a CT in HU is needed")


def hu_digest(hu_DHW: NDArray[np.int16]) -> str:
    """SHA-256 of the canonical voxels: equal for one scan in two formats."""
    digest = hashlib.sha256(str(hu_DHW.shape).encode())
    digest.update(np.ascontiguousarray(hu_DHW, dtype="<i2").data)
    return digest.hexdigest()
