"""Densitometry against figures worked out by hand, and on the real scan with its reference mask."""

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from dcam_dist.metrics.densitometry import DENSITOMETRY_FIELDS, densitometry
from dcam_dist.types import Geometry

CIP = Path(__file__).resolve().parents[4] / "shared" / "data" / "cip"


def geometry_of(shape, spacing_mm=(1.0, 1.0, 1.0)):
    return Geometry.from_matrix(shape, np.diag([*reversed(spacing_mm), 1.0]))


def test_hand_computed_values():
    hu = np.array([-1000, -951, -950, -911, -910, -857, -856, -800, 0, 40], np.int16).reshape(10, 1, 1)
    mask = np.ones(hu.shape, bool)
    mask[9] = False
    found = densitometry(hu, mask, geometry_of(hu.shape, (2.0, 5.0, 10.0)))
    assert tuple(found) == DENSITOMETRY_FIELDS
    assert found["laa950"] == pytest.approx(100 * 2 / 9)
    assert found["laa910"] == pytest.approx(100 * 4 / 9)
    assert found["laa856"] == pytest.approx(100 * 6 / 9)
    # Rank 0.15 × 8 = 1.2 of the sorted values: a fifth of the way from −951 to −950.
    assert found["perc15"] == pytest.approx(-950.8)
    assert found["mean_hu"] == pytest.approx(-7235 / 9)
    assert found["volume_ml"] == pytest.approx(9 * 0.1)
    assert found["laa950_lower"] == pytest.approx(200 / 3)
    assert found["laa950_middle"] == found["laa950_upper"] == 0.0
    assert found["laa950_difference"] == pytest.approx(-200 / 3)


def test_thresholds_are_strict():
    hu = np.full((3, 2, 2), -950, np.int16)
    at = densitometry(hu, np.ones(hu.shape, bool), geometry_of(hu.shape))
    below = densitometry(hu - 1, np.ones(hu.shape, bool), geometry_of(hu.shape))
    assert (at["laa950"], below["laa950"]) == (0.0, 100.0)


def test_zones_are_thirds_of_the_height_of_the_lungs():
    hu = np.full((20, 4, 4), -800, np.int16)
    mask = np.zeros(hu.shape, bool)
    mask[5:14, :2] = True
    mask[5:8] = True
    hu[11:14] = -980
    found = densitometry(hu, mask, geometry_of(hu.shape, (5.0, 1.0, 1.0)))
    assert (found["laa950_upper"], found["laa950_middle"], found["laa950_lower"]) == (100.0, 0.0, 0.0)
    assert found["laa950_difference"] == 100.0


@pytest.mark.parametrize("height", range(3, 30))
def test_every_slice_lies_in_the_zone_of_its_centre(height):
    for z in range(height):
        hu = np.full((height, 1, 1), -800, np.int16)
        hu[z] = -1000
        found = densitometry(hu, np.ones(hu.shape, bool), geometry_of(hu.shape))
        zone = ("lower", "middle", "upper")[int(3 * (z + 0.5) / height)]
        low = [name for name in ("lower", "middle", "upper") if found[f"laa950_{name}"] > 0]
        assert low == [zone]


def test_air_outside_the_lungs_does_not_count():
    rng = np.random.default_rng(3)
    hu = rng.integers(-1000, -600, (6, 5, 4)).astype(np.int16)
    mask = rng.random(hu.shape) < 0.5
    mask[[0, -1]] = True
    sides = np.where(mask, rng.integers(1, 3, hu.shape), 0).astype(np.uint8)
    other = np.where(mask, hu, -1024).astype(np.int16)
    one, two = (densitometry(either, sides, geometry_of(hu.shape)) for either in (hu, other))
    assert one == pytest.approx(two, rel=0, abs=0, nan_ok=True)


def test_each_side_is_measured_apart():
    hu = np.full((3, 2, 5), -800, np.int16)
    sides = np.zeros(hu.shape, np.uint8)
    sides[..., :2], sides[..., 3:] = 1, 2
    hu[:, 0, 3] = -960
    found = densitometry(hu, sides, geometry_of(hu.shape, (5.0, 10.0, 20.0)))
    volumes = [found[name] for name in ("volume_right_ml", "volume_left_ml", "volume_ml")]
    assert volumes == pytest.approx([12.0, 12.0, 24.0])
    assert (found["laa950_right"], found["laa950_left"], found["laa950"]) == (0.0, 25.0, 12.5)


def test_a_missing_side_holds_nothing_and_unknown_sides_are_nan():
    hu = np.full((3, 2, 2), -960, np.int16)
    left = densitometry(hu, np.full(hu.shape, 2, np.uint8), geometry_of(hu.shape))
    assert (left["volume_right_ml"], left["laa950_left"]) == (0.0, 100.0)
    assert math.isnan(left["laa950_right"])
    unknown = densitometry(hu, np.ones(hu.shape, bool), geometry_of(hu.shape))
    of_sides = [name for name in DENSITOMETRY_FIELDS if "right" in name or "left" in name or "regions" in name]
    assert len(of_sides) == 11
    assert all(math.isnan(unknown[name]) for name in of_sides)
    assert unknown["volume_ml"] == left["volume_ml"]


def test_the_percentile_is_numpys():
    rng = np.random.default_rng(5)
    for size in (1, 2, 7, 40, 41):
        hu = rng.integers(-1000, -600, (size, 1, 1)).astype(np.int16)
        found = densitometry(hu, np.ones(hu.shape, bool), geometry_of(hu.shape))
        assert found["perc15"] == pytest.approx(np.percentile(hu, 15))


def test_zone_without_lung_is_nan():
    hu = np.full((1, 2, 2), -960, np.int16)
    found = densitometry(hu, np.ones(hu.shape, bool), geometry_of(hu.shape))
    assert found["laa950"] == found["laa950_middle"] == 100.0
    assert math.isnan(found["laa950_upper"])
    assert math.isnan(found["laa950_difference"])


def test_many_voxels_keep_their_mean():
    hu = np.full((3, 300, 300), -901, np.int16)
    assert densitometry(hu, np.ones(hu.shape, bool), geometry_of(hu.shape))["mean_hu"] == -901.0


def test_refuses_empty_masks_other_shapes_and_other_numbers():
    hu = np.zeros((3, 2, 2), np.int16)
    with pytest.raises(ValueError, match="int16"):
        densitometry(hu.astype(np.float32), np.ones(hu.shape, bool), geometry_of(hu.shape))
    with pytest.raises(ValueError, match="empty"):
        densitometry(hu, np.zeros(hu.shape, bool), geometry_of(hu.shape))
    with pytest.raises(ValueError, match="shapes differ"):
        densitometry(hu, np.ones((3, 2, 3), bool), geometry_of(hu.shape))
    with pytest.raises(ValueError, match="shapes differ"):
        densitometry(hu, np.ones(hu.shape, bool), geometry_of((2, 2, 3)))


@pytest.mark.realdata
@pytest.mark.skipif(not CIP.is_dir(), reason="the real scans are not present")
def test_laa950_of_a_real_scan():
    image = SimpleITK.ReadImage(CIP / "ct-64.nrrd")
    hu = SimpleITK.GetArrayFromImage(image)
    mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(CIP / "wholeLung-64.nrrd")) > 0
    found = densitometry(hu, mask, geometry_of(hu.shape, tuple(reversed(image.GetSpacing()))))
    assert found["laa950"] == pytest.approx(19.7, abs=0.1)
    assert found["volume_ml"] == pytest.approx(4554.0, rel=0.001)
