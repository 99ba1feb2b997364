"""The lung mask on generated chests of known anatomy."""

from dataclasses import dataclass

import numpy as np
import pytest

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.lungs import LEFT, RIGHT, segment_lungs
from dcam_dist.ingest.lungs.morphology import erode
from dcam_dist.types import Geometry

EXTENT_MM = (240.0, 240.0, 290.0)
"""Height, depth and width of the generated scans."""


@dataclass(frozen=True)
class Chest:
    hu: np.ndarray
    geometry: Geometry
    lungs: np.ndarray
    airways: np.ndarray
    vessels: np.ndarray
    elsewhere: np.ndarray


def geometry_of(shape, spacing_mm):
    return Geometry.from_matrix(shape, np.diag([*reversed(spacing_mm), 1.0]))


def tube(points, start, end, radius):
    """Voxels within a radius of the segment between two points (z, y, x), in mm."""
    axis = np.subtract(end, start)
    along = sum((p - s) * d for p, s, d in zip(points, start, axis, strict=True)) / (axis @ axis)
    along = np.clip(along, 0.0, 1.0)
    return sum((p - s - along * d) ** 2 for p, s, d in zip(points, start, axis, strict=True)) <= radius**2


def ball(points, centre, radii):
    return sum(((p - c) / r) ** 2 for p, c, r in zip(points, centre, radii, strict=True)) <= 1.0


def chest(
    spacing_mm,
    *,
    lung_hu=-860.0,
    sides=(-1, 1),
    trachea=True,
    gas_mm=25.0,
    table_gap_mm=10.0,
    padding=-2048,
    noise=20.0,
):
    """A chest of ellipsoids and tubes: z from the feet up, y to the back, x to the left, the spine's side at y > 0."""
    shape = tuple(round(extent / mm) for extent, mm in zip(EXTENT_MM, spacing_mm, strict=True))
    z, y, x = np.meshgrid(*((np.arange(n) + 0.5) * mm for n, mm in zip(shape, spacing_mm, strict=True)), indexing="ij")
    points = z - 15.0, y - EXTENT_MM[1] / 2, x - EXTENT_MM[2] / 2
    z, y, x = points
    body = (y / 85.0) ** 2 + (x / 128.0) ** 2 <= 1.0
    table_y = y - 84.0 - table_gap_mm
    table = (np.abs(x) < 110) & (table_y > 0) & (table_y < 20)
    foam = (np.abs(x) < 106) & (table_y > 4) & (table_y < 16)
    gas = ball(points, (0.0, -45.0, 50.0), (gas_mm * 0.6, gas_mm, gas_mm))
    lungs = np.zeros(shape, bool)
    vessels = np.zeros(shape, bool)
    for side in sides:
        lungs |= ball(points, (104.0, 0.0, side * 60.0), (82.0, 62.0, 47.0))
        for height, back in ((85.0, -25.0), (110.0, 25.0), (135.0, 0.0)):
            vessels |= tube(points, (100.0, 0.0, side * 35.0), (height, back, side * 80.0), 3.5)
    carina = (150.0, 12.0, 0.0)
    airways, wall = np.zeros(shape, bool), np.zeros(shape, bool)
    for start, end, radius in [
        (carina, (260.0, 0.0, 0.0), 9.0),
        *((carina, (120.0, 12.0, side * 30.0), 6.5) for side in (-1, 1)),
    ]:
        airways |= tube(points, start, end, radius)
        wall |= tube(points, start, end, radius + 4.0)
    lungs &= ~wall
    vessels &= lungs
    hu = np.full(shape, -1000.0)
    hu[table] = 100.0
    hu[foam] = -900.0
    hu[body] = 40.0
    hu[lungs] = lung_hu
    hu[vessels] = 150.0
    hu[gas & body] = -1000.0
    if trachea:
        hu[airways & body] = -1000.0
    hu += np.random.default_rng(7).normal(0.0, noise, shape)
    hu[(y**2 + x**2) > 142.0**2] = padding
    hu_int = np.rint(hu).astype(np.int16)
    return Chest(hu_int, geometry_of(shape, spacing_mm), lungs, airways & body, vessels, gas | ~body)


def dice(a, b):
    a, b = a > 0, b > 0
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def plain():
    return chest((3.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def segmented(plain):
    return segment_lungs(plain.hu, plain.geometry)


def test_mask_is_the_lungs(plain, segmented):
    assert segmented.mask_DHW.dtype == np.uint8
    assert set(np.unique(segmented.mask_DHW)) == {0, RIGHT, LEFT}
    half = plain.hu.shape[2] // 2
    assert not (segmented.mask_DHW[:, :, :half] == LEFT).any()
    assert not (segmented.mask_DHW[:, :, half:] == RIGHT).any()
    assert dice(segmented.mask_DHW, plain.lungs) > 0.98
    mask_ml, truth_ml = (np.count_nonzero(m) * plain.geometry.voxel_ml for m in (segmented.mask_DHW, plain.lungs))
    assert segmented.right_ml + segmented.left_ml == pytest.approx(mask_ml)
    assert mask_ml == pytest.approx(truth_ml, rel=0.03)
    assert segmented.right_ml == pytest.approx(segmented.left_ml, rel=0.03)
    assert segmented.flags == ()


def test_vessels_are_in_and_airways_table_and_bowel_gas_out(plain, segmented):
    inside_lung = plain.vessels & erode(plain.lungs, 6.0)
    assert inside_lung.any()
    assert (segmented.mask_DHW[inside_lung] > 0).mean() > 0.99
    assert (segmented.mask_DHW[plain.airways] > 0).mean() < 0.01
    assert not segmented.mask_DHW[plain.elsewhere].any()


@pytest.mark.parametrize(
    ("spacing_mm", "least"), [((7.0, 5.28, 5.28), 0.96), ((4.0, 4.17, 4.17), 0.96), ((6.0, 1.2, 1.2), 0.98)]
)
def test_coarse_and_fine_scans(spacing_mm, least):
    case = chest(spacing_mm)
    found = segment_lungs(case.hu, case.geometry)
    assert found.mask_DHW.shape == case.hu.shape
    assert dice(found.mask_DHW, case.lungs) > least
    assert (found.mask_DHW[case.airways] > 0).mean() < 0.05
    assert found.flags == ()


@pytest.mark.parametrize("lung_hu", [-700.0, -930.0, -965.0])
def test_dense_and_destroyed_lungs(lung_hu):
    case = chest((4.0, 3.0, 3.0), lung_hu=lung_hu)
    found = segment_lungs(case.hu, case.geometry)
    assert dice(found.mask_DHW, case.lungs) > 0.97
    assert ("lung_hu_implausible" in found.flags) == (lung_hu < -950)


def test_padding_and_repetition_do_not_matter(plain, segmented):
    other = chest((3.0, 2.0, 2.0), padding=-1024)
    other.hu.flags.writeable = False
    again = segment_lungs(other.hu, other.geometry)
    assert np.array_equal(again.mask_DHW, segmented.mask_DHW)


def test_noise_of_a_sharp_kernel():
    case = chest((4.0, 2.0, 2.0), noise=110.0)
    found = segment_lungs(case.hu, case.geometry)
    assert dice(found.mask_DHW, case.lungs) > 0.97
    assert found.flags == ()


def test_lungs_that_the_scan_cuts_are_found_up_to_the_cut(plain):
    for part in (np.s_[26:], np.s_[:60]):
        hu = plain.hu[part]
        found = segment_lungs(hu, geometry_of(hu.shape, plain.geometry.spacing_mm))
        assert dice(found.mask_DHW, plain.lungs[part]) > 0.97


def test_hollow_table_at_the_back_stays_out():
    case = chest((4.0, 3.0, 3.0), table_gap_mm=-3.0)
    found = segment_lungs(case.hu, case.geometry)
    assert dice(found.mask_DHW, case.lungs) > 0.97
    assert not found.mask_DHW[case.elsewhere].any()


def test_missing_trachea_is_flagged():
    case = chest((4.0, 3.0, 3.0), trachea=False)
    assert segment_lungs(case.hu, case.geometry).flags == ("trachea_not_found",)


@pytest.mark.parametrize("side", [-1, 1])
def test_single_lung_is_kept_and_flagged(side):
    case = chest((4.0, 3.0, 3.0), sides=(side,))
    found = segment_lungs(case.hu, case.geometry)
    assert dice(found.mask_DHW, case.lungs) > 0.97
    assert "lungs_asymmetric" in found.flags
    assert (found.right_ml > found.left_ml) == (side == -1)


@pytest.mark.parametrize("gas_mm", [25.0, 45.0])
def test_no_lungs(gas_mm):
    case = chest((4.0, 3.0, 3.0), sides=(), gas_mm=gas_mm)
    with pytest.raises(CaseRejected, match="lung mask") as caught:
        segment_lungs(case.hu, case.geometry)
    assert caught.value.reason is Reason.NO_LUNGS


@pytest.mark.parametrize("hu", [-1024, -850, 40])
def test_uniform_volumes_have_no_lungs(hu):
    volume = np.full((20, 24, 24), hu, np.int16)
    with pytest.raises(CaseRejected, match="no_lungs"):
        segment_lungs(volume, geometry_of(volume.shape, (10.0, 12.0, 12.0)))
