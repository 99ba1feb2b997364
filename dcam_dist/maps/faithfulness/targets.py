"""What maps are held against: low attenuation and, where they are known, lesions; as shares of a voxel of the grid."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.cohort.layout import NATIVE_LEVEL
from dcam_dist.cohort.spatial import resample, to_sitk
from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest.lookup import fitting_cases
from dcam_dist.types import Geometry

Shares = NDArray[np.float32]
LESIONS = "lesions"
THRESHOLDS_HU = {"laa950": -950, "laa910": -910}
TITLES: Mapping[str, str] = {LESIONS: "lesions", "laa950": "below −950 HU", "laa910": "below −910 HU"}
LONG: Mapping[str, str] = {name: title if name == LESIONS else f"voxels {title}" for name, title in TITLES.items()}
"""As in a sentence."""
LESION_FILE = "lesion_mask.nii.gz"


def find_lesions(folder: Path | None, cohort: Cohort) -> dict[str, Path]:
    """The lesion masks of a cohort's cases: ``FOLDER/<case>/lesion_mask.nii.gz``, as the phantom writes them.

    Args:
        folder: ``None``: there are none.
        cohort: Its ids name the folders, or those that its case table gave where the private file is at hand.

    Returns:
        Files by the cohort's ids; folders that fit no case are passed over.

    Raises:
        UsageError: When no case has a mask there.
    """
    if folder is None:
        return {}
    files = sorted(folder.glob(f"*/{LESION_FILE}"))
    fitting = fitting_cases(cohort, [file.parent.name for file in files])
    found = {fit[0]: file for file, fit in zip(files, fitting, strict=True) if len(fit) == 1}
    if not found:
        raise UsageError(f"{folder}: no lesion mask of a case of {cohort.path}; they are sought as CASE/{LESION_FILE}")
    return found


def target_shares(cohort: Cohort, case_id: str, lesions: Path | None) -> dict[str, Shares]:
    """The share of each voxel of the training grid that shows a target, counted at the scan's resolution in the lungs.

    Args:
        cohort: The cohort.
        case_id: The case.
        lesions: Its lesion mask, anything but 0 being a lesion; ``None``: unknown, and left out.

    Returns:
        Targets in the order of ``TITLES``, 0…1.

    Raises:
        VolumeDamaged: When its volume is unreadable.
        DataError: When the lesion mask is.
    """
    record = cohort.case(case_id)
    hu, lungs = cohort.read(case_id, NATIVE_LEVEL)
    of_lungs = on_grid(to_sitk(lungs, record.native), record.native, record.grid)
    masks = {name: to_sitk(lungs & (hu < below), record.native) for name, below in THRESHOLDS_HU.items()}
    if lesions is not None:
        native = resample(_read(lesions), record.native, interpolation="nearest", outside=0) > 0
        masks = {LESIONS: to_sitk(native & lungs, record.native), **masks}
    return {name: _share(on_grid(mask, record.native, record.grid), of_lungs) for name, mask in masks.items()}


def on_grid(image: Any, native: Geometry, grid: Geometry) -> Shares:
    """The mean of an image over each voxel of a coarser grid, from samples as close as the image's own voxels.

    Args:
        image: A SimpleITK image, in the scan's space.
        native: Its geometry.
        grid: The training grid.
    """
    steps = [max(1, round(coarse / fine)) for coarse, fine in zip(grid.spacing_mm, native.spacing_mm, strict=True)]
    matrix = grid.matrix
    per_xyz = np.array(steps[::-1], dtype=np.float64)
    matrix[:3, 3] += matrix[:3, :3] @ ((1 / per_xyz - 1) / 2)
    matrix[:3, :3] = matrix[:3, :3] / per_xyz
    fine_shape = tuple(size * step for size, step in zip(grid.shape, steps, strict=True))
    samples = resample(image, Geometry.from_matrix(fine_shape, matrix), interpolation="nearest", outside=0)
    (d, h, w), (a, b, c) = grid.shape, steps
    share: Shares = samples.reshape(d, a, h, b, w, c).mean(axis=(1, 3, 5), dtype=np.float32)
    return share


def _share(part: Shares, whole: Shares) -> Shares:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _read(path: Path) -> Any:
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError:
        raise DataError(f"{path}: not readable as an image; write it again, or leave --lesions out") from None
