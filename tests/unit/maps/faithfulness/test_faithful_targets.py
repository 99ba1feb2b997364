"""Targets as shares of a voxel of the training grid."""

import numpy as np
import pytest
from support.cohorts import make_cohort

from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.image_file import write_nifti
from dcam_dist.cohort.spatial import to_sitk
from dcam_dist.errors import DataError, UsageError
from dcam_dist.maps.faithfulness.targets import find_lesions, on_grid, target_shares
from dcam_dist.types import Geometry


def test_a_coarse_voxel_gets_the_mean_of_those_under_it():
    fine = Geometry.from_matrix((6, 4, 8), np.array([[1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1.0]]))
    # 3 × 2 × 4 voxels under each; its middle is half of what lies between the middles of the outer ones
    coarse = Geometry.from_matrix((2, 2, 2), np.array([[4, 0, 0, 6.5], [0, 2, 0, 6.5], [0, 0, 6, 9], [0, 0, 0, 1.0]]))
    mask = np.random.default_rng(0).random(fine.shape) < 0.4
    expected = mask.reshape(2, 3, 2, 2, 2, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(on_grid(to_sitk(mask, fine), fine, coarse), expected, atol=1e-6)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return open_cohort(make_cohort(tmp_path_factory.mktemp("targets") / "cohort.zarr", 3))


@pytest.fixture
def lesions(tmp_path, cohort):
    record = cohort.case("case001")
    (tmp_path / "case001").mkdir()
    (tmp_path / "stranger").mkdir()
    mask = np.zeros(record.scan.shape, np.uint8)
    mask[8:] = 2
    write_nifti(mask, record.scan, tmp_path / "case001" / "lesion_mask.nii.gz")
    write_nifti(mask, record.scan, tmp_path / "stranger" / "lesion_mask.nii.gz")
    return tmp_path


def test_low_attenuation_and_lesions_are_counted_in_the_lungs(cohort, lesions):
    found = find_lesions(lesions, cohort)
    assert list(found) == ["case001"]
    shares = target_shares(cohort, "case001", found["case001"])
    hu, lungs = cohort.read("case001", "0")
    np.testing.assert_array_equal(shares["laa910"], lungs & (hu < -910))  # the grid is the scan's own here
    np.testing.assert_array_equal(shares["laa950"], lungs & (hu < -950))
    upper = np.zeros(lungs.shape, bool)
    upper[8:] = True
    np.testing.assert_array_equal(shares["lesions"], lungs & upper)


def test_without_a_mask_there_are_no_lesions(cohort):
    assert find_lesions(None, cohort) == {}
    assert list(target_shares(cohort, "case001", None)) == ["laa950", "laa910"]


def test_a_folder_that_holds_no_mask_of_the_cohort_is_refused(cohort, tmp_path):
    with pytest.raises(UsageError, match="no lesion mask of a case"):
        find_lesions(tmp_path, cohort)


def test_an_unreadable_mask_is_named(cohort, lesions):
    file = lesions / "case001" / "lesion_mask.nii.gz"
    file.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"lesion_mask\.nii\.gz: not readable as an image"):
        target_shares(cohort, "case001", file)
