"""NIfTI, NRRD and MetaImage files."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from dcam_dist.cohort.spatial import geometry_of
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom_checks import MIN_MATRIX, MIN_SLICES
from dcam_dist.ingest.image_headers import VoxelLayout, check_whole, metaimage_layout, nifti_layout, nrrd_layout
from dcam_dist.ingest.scan import Scan, clean_hu, make_scan
from dcam_dist.types import Geometry

MAX_AXIS = 1 << 15
"""No scan is longer along any axis, in voxels."""

_FORMATS: dict[str, tuple[str, str, Callable[[Path], VoxelLayout]]] = {
    ".nii": ("nifti", "NiftiImageIO", nifti_layout),
    ".nii.gz": ("nifti", "NiftiImageIO", nifti_layout),
    ".nrrd": ("nrrd", "NrrdImageIO", partial(nrrd_layout, detached=False)),
    ".nhdr": ("nrrd", "NrrdImageIO", partial(nrrd_layout, detached=True)),
    ".mha": ("metaimage", "MetaImageIO", partial(metaimage_layout, detached=False)),
    ".mhd": ("metaimage", "MetaImageIO", partial(metaimage_layout, detached=True)),
}
_DETACHED = {".nhdr", ".mhd"}


def image_suffix(path: Path) -> str | None:
    """The suffix by which a file is a known image, else ``None``."""
    name = path.name.lower()
    return next((suffix for suffix in _FORMATS if name.endswith(suffix) and name != suffix), None)


def image_files(path: Path) -> tuple[Path, ...]:
    """The file itself and, for a detached header, the file that holds the voxels.

    Raises:
        CaseRejected: When a detached header is malformed or names no one file in its own folder.
    """
    suffix = image_suffix(path)
    if suffix not in _DETACHED:
        return (path,)
    return path, _FORMATS[suffix][2](path).data


def read_image(path: Path, *, max_voxels: int) -> Scan:
    """Read a scan.

    Raises:
        CaseRejected: When the file cannot be read, is no single finite volume in HU, or is too small or large.
    """
    values, geometry = read_volume(path, max_voxels=max_voxels)
    hu_DHW = np.stack([clean_hu(values_HW) for values_HW in values])
    return make_scan(hu_DHW, geometry, format=_FORMATS[image_suffix(path) or ""][0])


def read_volume(path: Path, *, max_voxels: int) -> tuple[NDArray[Any], Geometry]:
    """Read one volume on the file's own axes.

    Its header is judged and its voxels are counted before anything is allocated.

    Raises:
        CaseRejected: As ``read_image``, HU apart.
    """
    suffix = image_suffix(path)
    if suffix is None:
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, f"not one of {', '.join(_FORMATS)} or a DICOM folder")
    _, image_io, layout_of = _FORMATS[suffix]
    layout = layout_of(path)
    if not (_is_utf8(path) and _is_utf8(layout.data)):  # SimpleITK would end the process
        raise CaseRejected(Reason.UNREADABLE, "the name of the file or of a folder above it is not UTF-8; rename it")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(image_io)
    with quiet():
        try:
            reader.ReadImageInformation()
        except RuntimeError:  # its message holds the path
            raise CaseRejected(Reason.UNREADABLE, "the header cannot be read") from None
        _check_header(reader, layout, max_voxels)
        check_whole(layout)
        size = list(reader.GetSize())
        reader.SetExtractSize(size[:3] + [0] * (len(size) - 3))
        if reader.GetPixelID() == sitk.sitkFloat64:
            reader.SetOutputPixelType(sitk.sitkFloat32)  # half the memory, exact for any HU
        try:
            image = reader.Execute()
        except RuntimeError:
            raise CaseRejected(Reason.UNREADABLE, "the voxels cannot be read") from None
    _check_size(image)
    values = sitk.GetArrayFromImage(image)
    if values.dtype.kind not in "iuf":
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, "complex voxels")
    return values, geometry_of(image)


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path).encode("utf-8"))
    except UnicodeEncodeError:
        return False


@contextmanager
def quiet() -> Iterator[None]:
    """Silence ITK: its warnings name the file."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _check_header(reader: Any, layout: VoxelLayout, max_voxels: int) -> None:
    size = [int(length) for length in reader.GetSize()]
    if reader.GetNumberOfComponents() != 1:
        raise CaseRejected(Reason.COLOUR, f"{reader.GetNumberOfComponents()} values a voxel, a scan has one")
    if len(size) < 3 or any(length != 1 for length in size[3:]):
        raise CaseRejected(Reason.UNSUPPORTED_FORMAT, f"a size of {_times(size)}, one 3D volume is needed")
    if math.prod(size) > max_voxels or max(size) > MAX_AXIS:
        raise CaseRejected(Reason.TOO_LARGE, f"a size of {_times(size)}, ingest.max_voxels is {max_voxels:.3g}")
    if math.prod(size) != math.prod(layout.size):
        raise CaseRejected(Reason.UNREADABLE, "the header is ambiguous about the size")


def _check_size(image: Any) -> None:
    geometry = geometry_of(image)
    axes = geometry.matrix[:3, :3] / np.maximum(np.asarray(geometry.spacing_mm[::-1]), 1e-12)
    if not np.isfinite(geometry.matrix).all() or not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise CaseRejected(Reason.BAD_GEOMETRY, "the affine is not finite or its axes are not at right angles")
    if not all(0.01 < step < 100 for step in geometry.spacing_mm):
        raise CaseRejected(Reason.BAD_GEOMETRY, "the voxel size is impossible")
    slices_axis = int(np.argmax(np.abs(axes[2])))
    size = list(image.GetSize())
    if size.pop(slices_axis) < MIN_SLICES:
        raise CaseRejected(
            Reason.TOO_FEW_SLICES, f"slices: {image.GetSize()[slices_axis]}, at least {MIN_SLICES} are needed"
        )
    if min(size) < MIN_MATRIX:
        raise CaseRejected(Reason.TOO_SMALL, f"slices of {_times(size)}, at least {MIN_MATRIX}×{MIN_MATRIX} is needed")


def _times(size: list[int]) -> str:
    return "×".join(str(length) for length in size)
