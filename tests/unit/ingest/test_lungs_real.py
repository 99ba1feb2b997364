"""The lung mask on the real scans, where they are present."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.lung_mask import lung_mask_of
from dcam_dist.ingest.lungs import LEFT, RIGHT, label_sides, segment_lungs
from dcam_dist.ingest.scan import Scan, clean_hu
from dcam_dist.types import Geometry

pytestmark = pytest.mark.realdata
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
REGIONS = {RIGHT: (2, 12, 13, 14), LEFT: (3, 9, 10, 11)}
"""The Chest Imaging Platform's regions, the low byte of a label: whole lungs, and their upper, middle, lower thirds."""


def dice(a, b):
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def canonical(image):
    image = SimpleITK.DICOMOrient(image, "LPS")
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    hu = SimpleITK.GetArrayFromImage(image)
    hu = clean_hu(hu) if hu.dtype.kind == "i" else hu
    return hu, Geometry.from_matrix(hu.shape, matrix)


def real(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not present")
    return path


def real_series(archive, folder, tmp_path):
    with tarfile.open(real(archive)) as packed:
        packed.extractall(tmp_path, filter="data")
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / folder))
    return canonical(SimpleITK.ReadImage(names))


def on_canonical_axes(name):
    return canonical(SimpleITK.ReadImage(real(f"cip/{name}")))


def test_agrees_with_the_reference_mask():
    hu, geometry = on_canonical_axes("ct-64.nrrd")
    reference, _ = on_canonical_axes("wholeLung-64.nrrd")
    found = segment_lungs(hu, geometry)
    assert dice(found.mask_DHW > 0, reference > 0) >= 0.98
    assert found.right_ml + found.left_ml == pytest.approx(4600.0, rel=0.05)
    labels, _ = on_canonical_axes("lm-64.nrrd")
    assert (found.mask_DHW[labels == 512] > 0).mean() < 0.15
    for side, regions in REGIONS.items():
        assert dice(found.mask_DHW == side, np.isin(labels & 255, regions)) >= 0.98
    assert found.flags == ()


@pytest.mark.parametrize("name", ["lm-64.nrrd", "crop_ct_2slices_dcnnLungSegmentationLabelmap.nrrd"])
def test_sides_of_a_given_mask(name):
    hu, geometry = on_canonical_axes({"lm-64.nrrd": "ct-64.nrrd"}.get(name, "crop_ct_2slices.nrrd"))
    labels, _ = on_canonical_axes(name)
    mask = labels > 0
    sides = label_sides(mask, hu, geometry)
    assert np.array_equal(sides > 0, mask)
    for side, regions in REGIONS.items():
        truth = np.isin(labels & 255, regions)
        assert truth.any() and (sides[truth] == side).mean() > 0.999


def test_patchy_emphysema_on_a_coarse_grid():
    found = segment_lungs(*on_canonical_axes("TestInput.nrrd"))
    assert found.flags == ()
    assert 0.4 < found.left_ml / (found.left_ml + found.right_ml) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("archive", "folder", "right_ml", "left_ml"),
    [
        ("LIDC-IDRI-0001_dicom.tar.xz", "dicom_0001", 1967.0, 1746.0),
        ("Lung_Dx-A0001_two_kernels_dicom.tar.xz", "A0001_5mm_kernelL", 3185.0, 2306.0),
        ("Lung_Dx-A0001_two_kernels_dicom.tar.xz", "A0001_5mm_kernelB", 3190.0, 2302.0),
    ],
)
def test_whole_lungs_are_accepted_and_cut_ones_are_not(archive, folder, right_ml, left_ml, tmp_path):
    hu, geometry = real_series(archive, folder, tmp_path)
    mask, flags = lung_mask_of(Scan(hu, geometry, geometry, "dicom"), None, IngestConfig())
    volumes = [np.count_nonzero(mask == side) * geometry.voxel_ml for side in (RIGHT, LEFT)]
    assert volumes == pytest.approx([right_ml, left_ml], rel=0.02)
    assert flags == ()
    lowest = int(np.flatnonzero(mask.any(axis=(1, 2)))[0])
    part = hu[lowest + round(50.0 / geometry.spacing_mm[0]) :]
    where = Geometry(part.shape, geometry.affine)
    with pytest.raises(CaseRejected) as caught:
        lung_mask_of(Scan(part, where, where, "dicom"), None, IngestConfig())
    assert caught.value.reason is Reason.LUNGS_CUT
    _, flags = lung_mask_of(Scan(part, where, where, "dicom"), None, IngestConfig(allow_cut_lungs=True))
    assert "lungs_cut" in flags
