"""What is embedded lies where the scan lies, holds what the scan holds, and stays within its budget."""

import gzip

import nibabel
import numpy as np
import pytest
from support.viewer_cases import BLOB, BLOB_HU, LEFT, RIGHT, SHAPE, viewer_case

from dcam_dist.errors import UsageError
from dcam_dist.maps.compute import softmax
from dcam_dist.report.viewer.volumes import FINEST_MM, HU_STEP, fit_volumes, shrink

TILT = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])


def image_of(content):
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


def centre_lps(weights_xyz, image):
    index = np.argwhere(weights_xyz)
    middle = np.average(index, axis=0, weights=weights_xyz[tuple(index.T)])
    return (image.affine @ [*middle, 1.0])[:3] * [-1, -1, 1]


def world(geometry, index_zyx):
    return (geometry.matrix @ [*index_zyx[::-1], 1.0])[:3]


@pytest.mark.parametrize("spacing_mm", [2.0, 6.0, 9.0])
@pytest.mark.parametrize("cosines", [None, TILT], ids=["straight", "oblique"])
def test_a_nodule_lies_where_it_lies_in_the_scan(spacing_mm, cosines):
    case = viewer_case(cosines=cosines)
    image = image_of(shrink(case, spacing_mm).ct)
    without = image_of(shrink(viewer_case(cosines=cosines, nodule=False), spacing_mm).ct)
    found = centre_lps(np.abs(image.get_fdata() - without.get_fdata()), image)
    assert np.abs(found - world(case.native, BLOB)).max() < min(image.header.get_zooms())
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")


@pytest.mark.parametrize("spacing_mm", [2.0, 6.0])
def test_the_maps_lie_where_the_lungs_lie(spacing_mm):
    case = viewer_case()
    made = shrink(case, spacing_mm)
    maps, ct = image_of(made.maps), image_of(made.ct)
    right = np.argwhere(np.asarray(maps.dataobj.get_unscaled())[..., 0] > 0)
    world_x = (np.c_[right, np.ones(len(right))] @ maps.affine.T)[:, 0] * -1
    expected = np.concatenate([np.arange(box[2].start, box[2].stop) for box in (RIGHT, LEFT)]) * 3.0 - 61.5
    assert abs(world_x.min() - expected.min()) <= spacing_mm and abs(world_x.max() - expected.max()) <= spacing_mm
    assert (maps.affine == ct.affine).all() and maps.shape[:3] == ct.shape and maps.shape[3] == 3


def test_values_are_the_scans_and_the_heads():
    case = viewer_case()
    made = shrink(case, 2.0)  # finer than the scan: its own voxels
    ct, maps, winner = (image_of(content) for content in made.files)
    assert ct.shape == SHAPE[::-1]
    upright = np.flip(ct.get_fdata().T, axis=(1, 2))
    assert np.abs(upright - case.hu_DHW).max() <= HU_STEP / 2 and upright[BLOB] == pytest.approx(BLOB_HU, abs=HU_STEP)
    found = np.flip(np.moveaxis(maps.get_fdata(), 3, 0).transpose(0, 3, 2, 1), axis=(2, 3))
    expected = softmax(case.dense_KDHW)
    assert np.abs(found - expected)[:, case.lungs_DHW].max() <= 0.5 / 254 + 1e-6
    assert (found[:, ~case.lungs_DHW] < 0).all()
    best = np.flip(winner.get_fdata().T, axis=(1, 2))
    assert (best == np.where(case.lungs_DHW, 1 + expected.argmax(axis=0), 0)).all()


def test_a_block_is_the_mean_of_its_voxels():
    case = viewer_case(spacing_zyx=(3.0, 3.0, 3.0))
    upright = np.flip(image_of(shrink(case, 6.0).ct).get_fdata().T, axis=(1, 2))
    assert upright.shape == tuple(size // 2 for size in SHAPE)
    assert upright[3, 5, 6] == pytest.approx(case.hu_DHW[6:8, 10:12, 12:14].mean(), abs=HU_STEP / 2)
    assert upright[8, 5, 4] == pytest.approx(case.hu_DHW[16:18, 10:12, 8:10].mean(), abs=HU_STEP / 2)


def test_the_start_is_in_the_lungs_where_the_cases_own_class_is_strong():
    case = viewer_case(cluster=0)
    x, y, z = shrink(case, 2.0).start_xyz
    assert case.lungs_DHW[z, SHAPE[1] - 1 - y, SHAPE[2] - 1 - x]
    assert z == RIGHT[0].stop - 1
    assert shrink(viewer_case(cluster=2), 2.0).start_xyz[2] == RIGHT[0].start


@pytest.mark.parametrize(
    ("shape", "spacing_zyx", "classes", "cases", "budget"),
    [
        (SHAPE, (4.0, 3.0, 3.0), 3, 2, 200_000),
        ((80, 70, 100), (2.5, 2.5, 2.5), 6, 2, 200_000),
        ((80, 70, 100), (2.5, 2.5, 2.5), 6, 2, 50_000),
    ],
)
def test_the_budget_decides_the_resolution(shape, spacing_zyx, classes, cases, budget):
    noisy = [with_noise(viewer_case(shape=shape, spacing_zyx=spacing_zyx, classes=classes)) for _ in range(cases)]
    made = fit_volumes(noisy, budget)
    size = sum(volumes.base64_bytes for volumes in made)
    assert size <= budget
    finer = [shrink(case, 0.6 * min(made[0].geometry.spacing_mm)) for case in noisy]
    as_fine_as_the_scan = made[0].geometry.shape == shape
    assert as_fine_as_the_scan or sum(volumes.base64_bytes for volumes in finer) > budget


@pytest.mark.slow
def test_cases_of_the_papers_grid_fit_as_six_of_them_would_in_15_mb():
    case = with_noise(viewer_case(shape=(128, 224, 288), spacing_zyx=(2.2, 1.25, 1.25), classes=6))
    made = fit_volumes([case] * 2, 5_000_000)
    assert sum(volumes.base64_bytes for volumes in made) <= 5_000_000
    assert max(made[0].geometry.spacing_mm) <= 4.0


def with_noise(case):
    noise = np.random.default_rng(0).normal(0, 25, case.hu_DHW.shape)
    case.hu_DHW[...] = np.rint(case.hu_DHW + noise)
    return case


def test_a_budget_that_nothing_fits_is_said():
    with pytest.raises(UsageError, match=r"2 cases do not fit in 0\.0 MB"):
        fit_volumes([viewer_case(), viewer_case()], 500)
    with pytest.raises(UsageError, match="no case to show"):
        fit_volumes([], 500)


def test_the_same_case_gives_the_same_bytes():
    assert shrink(viewer_case(), FINEST_MM).files == shrink(viewer_case(), FINEST_MM).files
