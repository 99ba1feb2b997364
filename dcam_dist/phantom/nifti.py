"""A phantom's volumes as NIfTI files."""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # its own manual spells it so
from numpy.typing import NDArray

from dcam_dist.phantom.acquisition import Protocol


def write_nifti(volume_DHW: NDArray[np.integer[Any]], protocol: Protocol, path: Path) -> None:
    """Write a volume with the scan's geometry, compressed.

    Args:
        volume_DHW: Shape ``(D, H, W)``, axes LPS.
        protocol: Its geometry.
        path: Ends in ``.nii.gz``.
    """
    image = sitk.GetImageFromArray(volume_DHW)
    image.SetOrigin(protocol.origin_mm)
    image.SetSpacing(protocol.spacing_mm[::-1])
    sitk.WriteImage(image, str(path), useCompression=True)
