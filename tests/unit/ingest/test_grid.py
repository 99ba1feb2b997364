"""The training grid: mean HU kept, and each voxel where the affine says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.ct_files import geometry

from dcam_dist.config import GridConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.grid import (
    Axis,
    Box,
    axis_weights,
    bounding_box,
    build_levels,
    grid_axes,
    resample_axes,
    with_margin,
)
from dcam_dist.ingest.lungs import LEFT, RIGHT

SHAPE = (40, 50, 60)
OBLIQUE = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()


def _lungs() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[8:33, 10:41, 7:28], mask[8:33, 10:41, 33:52] = RIGHT, LEFT
    return mask


@given(step=st.floats(0.3, 9.0), first=st.floats(-4.0, 10.0), count=st.integers(1, 20), size=st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_weights_are_a_mean_inside_and_nothing_outside(step, first, count, size):
    weights, inside = axis_weights(Axis(step, first, count), size)
    rows = weights.toarray()
    assert np.allclose(rows.sum(axis=1), inside, atol=1e-5)
    assert (rows >= 0).all()
    centre = first + step * np.arange(count)
    assert inside[(centre > -0.49) & (centre < size - 0.51)].all()
    assert not inside[(centre < -0.51) | (centre > size - 0.49)].any()


@given(step=st.floats(0.3, 4.0))
@settings(max_examples=50, deadline=None)
def test_a_linear_ramp_stays_linear(step):
    ramp = np.arange(64.0)
    axis = Axis(step, 10.0, 8)
    weights, _ = axis_weights(axis, 64)
    assert np.allclose(weights @ ramp, 10.0 + step * np.arange(8), atol=max(0.15 * (step > 1), 1e-4))


def test_downsampling_is_the_area_average_and_keeps_the_mean():
    volume = np.random.default_rng(0).normal(-800, 200, (24, 36, 48)).astype(np.float32)
    sizes = zip((24, 36, 48), (8, 10, 16), strict=True)
    axes = tuple(Axis(size / count, (size / count - 1) / 2, count) for size, count in sizes)
    grid = resample_axes(volume, axes, outside=0.0)
    assert grid.mean() == pytest.approx(volume.mean(), abs=0.02)
    blocks = volume[:, :, :3].mean(axis=2).reshape(8, 3, 36).mean(axis=1)
    assert grid[0, 0, 0] == pytest.approx((blocks[0, :3].sum() + 0.6 * blocks[0, 3]) / 3.6, abs=0.01)


def test_same_grid_returns_the_volume():
    volume = np.random.default_rng(1).integers(-1000, 500, (6, 7, 8)).astype(np.int16)
    axes = tuple(Axis(1.0, 0.0, size) for size in volume.shape)
    assert np.array_equal(resample_axes(volume, axes, outside=0.0), volume)


@pytest.mark.parametrize("shape", [(16, 16, 16), (48, 48, 64)], ids=["coarser", "finer"])
@pytest.mark.parametrize("fit", ["stretch", "spacing"])
def test_a_planted_point_keeps_its_world_coordinates(shape, fit):
    where = geometry(SHAPE, (3.0, 1.5, 1.5), OBLIQUE)
    lungs = _lungs()
    hu = np.full(SHAPE, -900, np.int16)
    hu[18:22, 23:27, 38:42] = 1000  # centred between voxels, at index (19.5, 24.5, 39.5)
    extent_mm = np.multiply((26, 33, 48), where.spacing_mm)
    spacing = tuple(float(step) for step in extent_mm / shape) if fit == "spacing" else None
    config = GridConfig(shape=shape, fit=fit, spacing_mm=spacing, margin_mm=4.0)
    levels, native, grid = build_levels(hu, lungs, where, config)
    assert levels.grid_hu_DHW.shape == grid.shape == shape
    world = where.matrix @ (39.5, 24.5, 19.5, 1)
    for volume, space in ((levels.native_hu_DHW, native), (levels.grid_hu_DHW, grid)):
        excess = np.clip(volume.astype(np.float64) + 900, 0, None)
        centre = [
            float((np.arange(n) * excess.sum(axis=tuple({0, 1, 2} - {axis}))).sum() / excess.sum())
            for axis, n in enumerate(volume.shape)
        ]
        assert np.allclose((space.matrix @ (*centre[::-1], 1))[:3], world[:3], atol=0.4 * min(where.spacing_mm))


def test_stretch_covers_exactly_the_native_crop():
    where = geometry(SHAPE, (3.0, 1.5, 1.5), OBLIQUE)
    hu = np.where(_lungs() > 0, -850, 40).astype(np.int16)
    levels, native, grid = build_levels(hu, _lungs(), where, GridConfig(shape=(16, 32, 32), margin_mm=5.0))
    for corner in ((-0.5, -0.5, -0.5), (1.0, 1.0, 1.0)):
        index = [np.asarray(corner) if corner[0] < 0 else np.asarray(s.shape[::-1]) - 0.5 for s in (native, grid)]
        first, second = (s.matrix @ (*i, 1) for s, i in zip((native, grid), index, strict=True))
        assert np.allclose(first, second)
    assert levels.grid_hu_DHW.mean() == pytest.approx(levels.native_hu_DHW.mean(), abs=0.5)
    volumes = [
        np.count_nonzero(mask) * s.voxel_ml
        for mask, s in ((levels.native_mask_DHW, native), (levels.grid_mask_DHW, grid))
    ]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.1)  # a box's faces fall on whole voxels


@pytest.mark.parametrize("shape", [(16, 16, 16), (32, 48, 64)], ids=["coarser", "finer"])
def test_sides_keep_to_their_voxels(shape):
    """Where voxels are lung is the area average of both; each then goes to the side with the larger share."""
    random = np.random.default_rng(0)
    sides = _lungs()
    sides[8:33, 10:41, 28:33] = random.integers(0, 3, (25, 31, 5))
    config = GridConfig(shape=shape, margin_mm=4.0)
    where = geometry(SHAPE, (3.0, 1.5, 1.5))
    levels, _, _ = build_levels(np.full(SHAPE, -900, np.int16), sides, where, config)
    lungs = bounding_box(sides)
    axes = grid_axes(lungs, with_margin(lungs, where, 4.0), where, config)
    share = {side: resample_axes(sides == side, axes, outside=0.0) for side in (RIGHT, LEFT)}
    either = resample_axes(sides > 0, axes, outside=0.0)
    found = levels.grid_mask_DHW
    assert levels.native_mask_DHW.dtype == found.dtype == np.uint8
    assert np.array_equal(found > 0, either > 0.5)
    clear = np.abs(share[RIGHT] - share[LEFT]) > 1e-5
    assert (found[clear & (found > 0) & (share[RIGHT] > share[LEFT])] == RIGHT).all()
    assert (found[clear & (found > 0) & (share[RIGHT] < share[LEFT])] == LEFT).all()
    assert (found == RIGHT).any() and (found == LEFT).any()


def test_margin_grows_the_box_up_to_the_edge():
    box = bounding_box(_lungs())
    assert box == Box((8, 10, 7), (25, 31, 45))
    grown = with_margin(box, geometry(SHAPE, (3.0, 1.5, 1.5)), 12.0)
    assert grown == Box((4, 2, 0), (33, 47, 60))


def test_spacing_puts_air_outside_the_scan_and_refuses_large_lungs():
    where = geometry(SHAPE, (3.0, 1.5, 1.5))
    hu = np.full(SHAPE, 40, np.int16)
    config = GridConfig(shape=(64, 64, 64), fit="spacing", spacing_mm=(3.0, 1.5, 1.5))
    levels, _, grid = build_levels(hu, _lungs(), where, config)
    assert levels.grid_hu_DHW[0, 0, 0] == -1000
    assert np.count_nonzero(levels.grid_hu_DHW == 40) == hu.size
    assert np.allclose(grid.spacing_mm, (3.0, 1.5, 1.5))
    small = GridConfig(shape=(16, 64, 64), fit="spacing", spacing_mm=(3.0, 1.5, 1.5))
    with pytest.raises(CaseRejected) as caught:
        build_levels(hu, _lungs(), where, small)
    assert caught.value.reason is Reason.LUNGS_EXCEED_GRID
