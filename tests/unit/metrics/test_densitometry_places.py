"""What depends on where voxels lie: regions, core and peel, cluster exponent; by hand, by analytic lungs, and on a
real scan by other ways of computing."""

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage
from scipy.spatial import cKDTree

from dcam_dist.metrics.core_peel import PEEL_MM, SURFACE, peel_of
from dcam_dist.metrics.densitometry import densitometry
from dcam_dist.metrics.emphysema_clusters import LEAST_CLUSTERS, cluster_exponent, cluster_sizes
from dcam_dist.types import Geometry

CIP = Path(__file__).resolve().parents[4] / "shared" / "data" / "cip"
FACES = ((0, 0, 1), (0, 1, 0), (1, 0, 0))


def geometry_of(shape, spacing_mm=(1.0, 1.0, 1.0)):
    return Geometry.from_matrix(shape, np.diag([*reversed(spacing_mm), 1.0]))


def rods(sizes):
    """Clusters of the given sizes: straight rods that do not touch."""
    low = np.zeros((1, 2 * len(sizes), max(sizes)), bool)
    for row, size in enumerate(sizes):
        low[0, 2 * row, :size] = True
    return low


def joined_by_hand(low):
    """Sizes of clusters by union-find over the voxels."""
    voxels = [tuple(voxel) for voxel in np.argwhere(low)]
    parent = {voxel: voxel for voxel in voxels}

    def root(voxel):
        while parent[voxel] != voxel:
            parent[voxel] = voxel = parent[parent[voxel]]
        return voxel

    for voxel in voxels:
        for face in FACES:
            neighbour = tuple(np.add(voxel, face))
            if neighbour in parent:
                parent[root(voxel)] = root(neighbour)
    roots = [root(voxel) for voxel in voxels]
    return sorted(roots.count(one) for one in set(roots))


@pytest.mark.parametrize("exponent", [0.7, 1.2, 1.8])
def test_sizes_of_a_power_law_have_its_exponent(exponent):
    sizes = [int((400 / rank) ** (1 / exponent)) for rank in range(1, 401)]  # the rank-th largest of N(≥S) = 400·S^−D
    sizes = [min(size, 900) for size in sizes]
    assert cluster_exponent(rods(sizes)) == pytest.approx(exponent, abs=0.08)


def test_voxels_that_share_an_edge_are_two_clusters():
    low = np.zeros((2, 2, 3), bool)
    low[0, 0, 0] = low[0, 1, 1] = low[0, 1, 2] = low[1, 0, 1] = True
    assert sorted(cluster_sizes(low)) == [1, 1, 2]


def test_few_clusters_or_sizes_have_no_exponent():
    sizes = [1, 2, 3, 4, 5, *[1] * (LEAST_CLUSTERS - 5)]
    assert math.isfinite(cluster_exponent(rods(sizes)))
    assert math.isnan(cluster_exponent(rods(sizes[:-1])))
    assert math.isnan(cluster_exponent(rods([1, 2, 3, 4] * 20)))
    assert math.isnan(cluster_exponent(np.zeros((3, 3, 3), bool)))


def ball(radius_mm, spacing_mm, room=3):
    half = [math.ceil(radius_mm / mm) + room for mm in spacing_mm]
    axes = (np.arange(-size, size + 1) * mm for size, mm in zip(half, spacing_mm, strict=True))
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(z**2 + y**2 + x**2)


@pytest.mark.parametrize("spacing_mm", [(1.0, 0.8, 0.8), (4.0, 4.0, 4.0), (5.0, 0.9, 0.9)])
def test_a_ball_with_a_known_shell_has_its_percentages(spacing_mm):
    rng = np.random.default_rng(2)
    distance = ball(50.0, spacing_mm)
    share = np.where(distance > 50.0 - PEEL_MM, 0.5, 0.1)
    hu = np.where(rng.random(distance.shape) < share, -980, -850).astype(np.int16)
    found = densitometry(hu, distance <= 50.0, geometry_of(hu.shape, spacing_mm))
    tolerance = 1.5 if max(spacing_mm) < 2 else 3.0  # voxels of 4 mm lie in both
    assert found["laa950_peel"] == pytest.approx(50, abs=tolerance)
    assert found["laa950_core"] == pytest.approx(10, abs=tolerance)
    assert found["laa950_peel_difference"] == pytest.approx(found["laa950_peel"] - found["laa950_core"])


@pytest.mark.parametrize(("spacing_mm", "percent"), [((1.0, 0.8, 0.8), 4.1), ((10.0, 0.8, 0.8), 4.9)])
def test_the_coarse_grid_misplaces_few_voxels(spacing_mm, percent):
    lungs = (ball(45.0, spacing_mm) <= 45.0) & (np.indices(ball(45.0, spacing_mm).shape)[2] > 25)
    surface_mm = SURFACE * np.prod(spacing_mm) ** (1 / 3)
    exact = lungs & (ndimage.distance_transform_edt(lungs, spacing_mm) - surface_mm <= PEEL_MM)
    found = peel_of(lungs, spacing_mm)
    assert 100 * (found != exact).sum() / lungs.sum() == pytest.approx(percent, abs=0.06)
    assert found.sum() == pytest.approx(exact.sum(), rel=0.03)


def test_lungs_that_fill_the_volume_have_no_surface():
    hu = np.full((6, 6, 6), -980, np.int16)
    found = densitometry(hu, np.ones(hu.shape, np.uint8), geometry_of(hu.shape, (5.0, 5.0, 5.0)))
    assert (found["laa950_core"], found["laa950"]) == (100.0, 100.0)
    assert math.isnan(found["laa950_peel"])
    assert math.isnan(found["laa950_peel_difference"])


def test_a_gradient_along_the_height_is_read_off_the_regions():
    hu = np.full((60, 1, 120), -850, np.int16)
    for z in range(60):
        hu[z, 0, :z] = -960  # of the right lung's 60 voxels, z are low: 0 % at the bottom, nearly all at the top
    hu[:, 0, 60:] = -850
    hu[:30, 0, 60:90] = -960
    sides = np.repeat(np.repeat(np.array([[[1, 2]]], np.uint8), 60, axis=2), 60, axis=0)
    found = densitometry(hu, sides, geometry_of(hu.shape))
    right = [found[f"laa950_right_{zone}"] for zone in ("lower", "middle", "upper")]
    left = [found[f"laa950_left_{zone}"] for zone in ("lower", "middle", "upper")]
    assert right == pytest.approx([100 * mean / 60 for mean in (9.5, 29.5, 49.5)])
    assert left == pytest.approx([50, 25, 0])
    assert found["laa950_regions_sd"] == pytest.approx(np.std([*right, *left]))


@pytest.fixture(scope="module")
def real_lungs():
    if not CIP.is_dir():
        pytest.skip("the real scans are not present")
    image = SimpleITK.ReadImage(CIP / "ct-64.nrrd")
    hu = SimpleITK.GetArrayFromImage(image).astype(np.int16)
    mask = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(CIP / "wholeLung-64.nrrd")) > 0
    return hu, mask, tuple(reversed(image.GetSpacing()))


@pytest.mark.realdata
def test_the_exponent_of_a_real_scan_by_union_find_and_polyfit(real_lungs):
    hu, mask, spacing_mm = real_lungs
    sizes = np.array(joined_by_hand(mask & (hu < -950)))
    distinct = np.unique(sizes)
    slope = np.polyfit(np.log(distinct), np.log([(sizes >= size).sum() for size in distinct]), 1)[0]
    found = densitometry(hu, mask, geometry_of(hu.shape, spacing_mm))
    assert found["laa950_cluster_d"] == pytest.approx(-slope, rel=1e-9)
    assert 0.3 < -slope < 1.5


@pytest.mark.realdata
def test_core_and_peel_of_a_real_scan_by_nearest_neighbours(real_lungs):
    hu, mask, spacing_mm = real_lungs
    outside, inside = (np.argwhere(where) * spacing_mm for where in (~mask, mask))
    distance_mm = cKDTree(outside).query(inside)[0] - np.prod(spacing_mm) ** (1 / 3) / 4
    low, peel = hu[mask] < -950, distance_mm <= PEEL_MM
    found = densitometry(hu, mask, geometry_of(hu.shape, spacing_mm))
    assert found["laa950_peel"] == pytest.approx(100 * low[peel].mean())
    assert found["laa950_core"] == pytest.approx(100 * low[~peel].mean())
