"""Volumes as NIfTI files in their place in the patient."""

from pathlib import Path
from typing import Any

import SimpleITK as sitk
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import to_sitk
from dcam_dist.errors import EnvironmentFault
from dcam_dist.types import Geometry


def write_nifti(values_DHW: NDArray[Any], geometry: Geometry, path: Path) -> Path:
    """Write a volume with its affine; the file is the old or the new one, never half of it.

    Raises:
        EnvironmentFault: When the disk is full or refuses.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        sitk.WriteImage(to_sitk(values_DHW, geometry), str(partial), True)
        partial.replace(path)
    except (RuntimeError, OSError):
        partial.unlink(missing_ok=True)
        raise EnvironmentFault(f"{path}: cannot be written; is the disk full, or the folder read-only?") from None
    return path
