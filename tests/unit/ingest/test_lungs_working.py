"""The working grid, its morphology, and the single steps of the segmentation."""

import numpy as np
import pytest

from dcam_dist.ingest.lungs.candidates import select_lungs
from dcam_dist.ingest.lungs.components import FREE_AIR_HU, Chest, fill_holes, find_chest, largest
from dcam_dist.ingest.lungs.field_of_view import open_edges, seen_of
from dcam_dist.ingest.lungs.morphology import closed, dilate, erode, opened
from dcam_dist.ingest.lungs.plausibility import Findings, judge
from dcam_dist.ingest.lungs.pockets import find_pockets, largest_in_lungs_ml, without_bowel_gas
from dcam_dist.ingest.lungs.segment import close_each
from dcam_dist.ingest.lungs.sides import LEFT, RIGHT
from dcam_dist.ingest.lungs.working import WORKING_MM, to_working
from dcam_dist.types import Geometry


def geometry_of(shape, spacing_mm):
    return Geometry.from_matrix(shape, np.diag([*reversed(spacing_mm), 1.0]))


@pytest.mark.parametrize("spacing_mm", [(0.5, 0.7, 0.7), (2.0, 2.0, 2.0), (7.0, 5.28, 5.28)])
def test_working_grid_keeps_constants_edges_and_ramps(spacing_mm):
    shape = tuple(round(60.0 / mm) for mm in spacing_mm)
    geometry = geometry_of(shape, spacing_mm)
    constant = to_working(np.full(shape, -700, np.int16), geometry)
    assert constant.hu_DHW.dtype == np.float32
    assert np.allclose(constant.hu_DHW, -700.0, atol=1e-2)
    assert to_working(np.full(shape, -2048, np.int16), geometry).hu_DHW.min() >= -1024.1
    heights = (np.arange(shape[0]) + 0.5) * spacing_mm[0]
    ramp = np.broadcast_to((-10.0 * heights)[:, None, None], shape).astype(np.int16)
    working = to_working(ramp, geometry)
    centres = (np.arange(len(working.hu_DHW)) + 0.5) * WORKING_MM
    inner = (centres > 10.0) & (centres < 50.0)
    assert np.allclose(working.hu_DHW[inner, 3, 3], -10.0 * centres[inner], atol=6.0)
    nearest = working.grid.nearest(0)
    assert (np.abs(centres[nearest] - heights) <= WORKING_MM / 2 + 1e-9).all()


def test_morphology_is_in_millimetres():
    mask = np.zeros((21, 21, 21), bool)
    mask[10, 10, 10] = True
    grown = dilate(mask, 8.0)
    assert np.flatnonzero(grown[:, 10, 10]).tolist() == list(range(6, 15))
    assert (opened(grown, 4.0) <= grown).all()
    assert (closed(grown, 4.0) >= grown).all()
    assert erode(np.ones((5, 5, 5), bool), 4.0).all()


@pytest.mark.parametrize("radius", [2.0, 4.0, 6.0, 8.0])
def test_dilation_is_within_a_voxel_of_a_ball(radius):
    mask = np.zeros((21, 21, 21), bool)
    mask[10, 10, 10] = True
    away = np.sqrt(sum((axis - 10) ** 2 for axis in np.mgrid[:21, :21, :21])) * WORKING_MM
    grown = dilate(mask, radius)
    assert grown[away <= radius - 0.25 * WORKING_MM].all()
    assert not grown[away > radius + WORKING_MM].any()


def test_fill_holes_and_largest():
    shell = np.zeros((5, 7, 7), bool)
    shell[:, 1:6, 1:6] = True
    shell[:, 3, 3] = False
    assert np.array_equal(fill_holes(shell), shell)
    shell[[0, 4], 3, 3] = True
    assert fill_holes(shell)[:, 3, 3].all()
    shell[0, 0, 0] = True
    assert not largest(shell)[0, 0, 0]
    assert np.count_nonzero(largest(shell)) == np.count_nonzero(shell) - 1


def test_air_is_enclosed_slice_by_slice():
    hu = np.full((20, 40, 40), -1000.0, np.float32)
    hu[:, 8:32, 8:32] = 40.0
    hu[:, 14:26, 14:26] = -850.0
    hu[10:, 8:14, 18:22] = -1000.0
    chest = find_chest(hu, np.ones((40, 40), bool))
    assert chest.air_DHW[:10, 14:26, 14:26].all()
    assert not chest.air_DHW[10:].any()
    assert chest.free_air_hu == -1000.0
    assert chest.middle == pytest.approx(19.5)


def test_the_field_of_view_ends_where_air_never_changes():
    low = np.full((6, 8), -1000, np.int16)
    high = low.copy()
    high[:, 2:6] = 30
    low[3, 4] = high[3, 4] = -1000
    seen = seen_of(low, high)
    assert seen[:, 2:6].all() and not seen[:, :2].any() and not seen[:, 6:].any()
    assert seen_of(low, low).all()
    assert seen_of(np.full_like(low, 40), np.full_like(low, 40)).all()


def test_air_between_two_pieces_of_tissue_at_the_edge_is_inside():
    tissue = np.zeros((1, 10, 6), bool)
    tissue[0, 2:4] = tissue[0, 7] = True
    opening = open_edges(tissue, np.ones((10, 6), bool))
    assert np.flatnonzero(opening[0, :, 0]).tolist() == [0, 1, 8, 9]
    assert np.array_equal(opening[0, :, 0], opening[0, :, -1])
    assert not opening[0, :, 1:-1].any()


def chest_of(shape, free_air_hu=FREE_AIR_HU[0]):
    return Chest(np.ones(shape, bool), np.ones(shape, bool), free_air_hu)


def test_select_lungs_takes_lungs_and_leaves_gas():
    air = np.zeros((60, 60, 160), bool)
    hu = np.full(air.shape, -850.0, np.float32)
    columns = {"first": np.s_[5:45], "gas": np.s_[50:80], "second": np.s_[95:120], "crumb": np.s_[125:127]}
    for part in columns.values():
        air[5:55, 5:55, part] = True
    hu[:, :, columns["gas"]] = -1000.0
    lungs = select_lungs(air, hu, chest_of(air.shape))
    kept = {name for name, part in columns.items() if lungs[:, :, part].any()}
    assert kept == {"first", "second"}
    assert not select_lungs(np.zeros_like(air), hu, chest_of(air.shape)).any()


@pytest.mark.parametrize(
    ("heights", "columns", "kept"),
    [
        (np.s_[35:55], np.s_[110:130], True),
        (np.s_[5:25], np.s_[110:130], False),
        (np.s_[35:55], np.s_[50:70], False),
    ],
    ids=["apex of the other side", "base of the other side", "beside the first lung"],
)
def test_a_shrunken_lung_lies_high_on_the_side_without_another(heights, columns, kept):
    air = np.zeros((60, 60, 160), bool)
    air[5:55, 5:55, 5:45] = True
    air[heights, 20:45, columns] = True
    lungs = select_lungs(air, np.full(air.shape, -850.0, np.float32), chest_of(air.shape))
    assert lungs[heights, 20:45, columns].any() == kept


def test_noise_in_the_air_around_decides_what_is_gas():
    air = np.zeros((60, 60, 120), bool)
    air[5:55, 5:55, 5:45] = air[5:55, 5:55, 70:110] = True
    hu = np.full(air.shape, -850.0, np.float32)
    hu[:, :, 70:110] = -970.0
    assert select_lungs(air, hu, chest_of(air.shape))[:, :, 70:].any()
    assert not select_lungs(air, hu, chest_of(air.shape, FREE_AIR_HU[1]))[:, :, 70:].any()


def test_pockets_belong_to_the_lung_by_the_surface_they_share():
    air = np.zeros((50, 50, 70), bool)
    hu = np.full(air.shape, -850.0, np.float32)
    air[5:45, 5:45, 5:35] = True
    bulla, bowel, leak = np.s_[10:30, 15:35, 5:22], np.s_[10:30, 15:35, 40:60], np.s_[20, 20, 35:40]
    air[bowel] = air[leak] = True
    hu[bulla] = hu[bowel] = hu[leak] = -1000.0
    pockets = find_pockets(air, hu, -985.0)
    assert len(pockets) == 2
    kept = without_bowel_gas(air, pockets)
    assert kept[bulla].all() and not kept[bowel].any()
    assert air[bowel].all()
    lungs = kept.copy()
    assert largest_in_lungs_ml(lungs, pockets) == pytest.approx(20 * 20 * 17 * 0.008, rel=0.1)
    assert find_pockets(air, hu, -1005.0) == []


def test_lungs_are_closed_apart():
    sides = np.zeros((40, 40, 61), np.uint8)
    sides[5:35, 5:35, 5:29] = RIGHT
    sides[5:35, 5:35, 32:56] = LEFT
    sides[20, 20, 10:20] = sides[12:15, 12:15, 40:43] = 0
    result = close_each(sides)
    assert (result[20, 20, 10:20] == RIGHT).all()
    assert (result[12:15, 12:15, 40:43] == LEFT).all()
    assert not result[:, :, 29:32].any()
    assert np.array_equal(result[sides > 0], sides[sides > 0])


def test_judge_names_each_finding():
    usual = {"right_ml": 2500.0, "left_ml": 2200.0, "mean_hu": -840.0, "trachea_found": True, "air_pocket_ml": 30.0}
    for change, flags in (
        ({}, ()),
        ({"trachea_found": False}, ("trachea_not_found",)),
        ({"left_ml": 1500.0}, ("lungs_asymmetric",)),
        ({"mean_hu": -400.0}, ("lung_hu_implausible",)),
        ({"right_ml": 6000.0, "left_ml": 6000.0}, ("lung_volume_implausible",)),
        ({"air_pocket_ml": 250.0}, ("large_air_pocket",)),
    ):
        assert judge(Findings(**usual | change)) == flags
