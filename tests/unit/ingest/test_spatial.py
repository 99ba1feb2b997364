"""Geometry: what moves, moves with its place in the patient."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.ct_files import geometry

from dcam_dist.cohort.spatial import canonical, crop_geometry, from_sitk, resample, same_space, to_sitk

SHAPE = (5, 6, 7)


def _cosines(seed: int) -> np.ndarray:
    """Any permutation and flips of the axes, tilted by up to 25°."""
    rng = np.random.default_rng(seed)
    axes = np.eye(3)[rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    return Rotation.from_rotvec(rng.uniform(-0.25, 0.25, 3)).as_matrix() @ axes


def _where(seed: int):
    return geometry(SHAPE, (3.0, 1.5, 0.8), _cosines(seed))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_canonical_axes_keep_every_voxel_in_its_place(seed):
    where = _where(seed)
    volume = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    turned, turned_where = canonical(volume, where)
    expected = sitk.DICOMOrient(to_sitk(volume, where), "LPS")
    assert np.array_equal(turned, sitk.GetArrayFromImage(expected))
    assert turned.flags.c_contiguous
    z, y, x = np.argwhere(volume == 101)[0]
    planted = np.argwhere(turned == 101)[0]
    world = where.matrix @ (x, y, z, 1)
    assert np.allclose(turned_where.matrix @ (*planted[::-1], 1), world, atol=1e-9)
    assert (np.diag(turned_where.matrix)[:3] > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_simpleitk_round_trip_keeps_values_and_affine(seed):
    where = _where(seed)
    volume = np.random.default_rng(seed).integers(-1000, 1000, SHAPE).astype(np.int16)
    values, again = from_sitk(to_sitk(volume, where))
    assert np.array_equal(values, volume)
    assert np.allclose(again.matrix, where.matrix)
    assert again.shape == SHAPE


def test_array_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        to_sitk(np.zeros((2, 2, 2), np.int16), geometry(SHAPE))


def test_resampling_to_the_canonical_axes_equals_turning():
    where = _where(3)
    volume = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
    turned, turned_where = canonical(volume, where)
    assert np.array_equal(resample(to_sitk(volume, where), turned_where, interpolation="nearest", outside=0), turned)
    far = crop_geometry(turned_where, (100, 0, 0), turned_where.shape)
    assert (resample(to_sitk(volume, where), far, interpolation="linear", outside=-1000) == -1000).all()


def test_crop_and_same_space():
    where = _where(1)
    crop = crop_geometry(where, (1, 2, 3), (2, 2, 2))
    assert np.allclose(crop.matrix @ (0, 0, 0, 1), where.matrix @ (3, 2, 1, 1))
    moved = crop_geometry(where, (0, 0, 1), where.shape)
    assert same_space(where, where, tolerance_mm=0.0)
    assert not same_space(where, moved, tolerance_mm=0.5)
    assert same_space(where, moved, tolerance_mm=0.81)
    assert not same_space(where, crop, tolerance_mm=1e6)
