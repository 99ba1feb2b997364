"""Deletion and insertion where the answer is known: a score that is linear in the voxels."""

import numpy as np
import pytest

from dcam_dist.maps.faithfulness.curves import (
    importance,
    perturbation,
    perturbation_curves,
    replacements,
)

SHAPE = (4, 6, 8)


@pytest.fixture
def scan():
    rng = np.random.default_rng(1)
    lungs = rng.random(SHAPE) < 0.6
    lungs.ravel()[np.flatnonzero(lungs)[: lungs.sum() % 10]] = False  # a share of a tenth is then whole voxels
    return rng.random(SHAPE).astype(np.float32), lungs


def linear(lungs):
    """Lung mean of the volume, and the same times minus two."""

    def score(volume_DHW):
        mean = float(volume_DHW[lungs].astype(np.float64).mean())
        return np.array([mean, -2 * mean])

    return score


def curves_of(scan, map_DHW, *, block=1, replacement=0.0):
    volume, lungs = scan
    score = linear(lungs)
    filled = np.full(SHAPE, replacement, np.float32)
    at = perturbation(volume, filled, lungs, score, score(volume), seed=3)
    return perturbation_curves(at, map_DHW, steps=11, block=block)


def test_the_curves_of_a_linear_score_are_the_sums_of_what_is_left(scan):
    volume, lungs = scan
    ordered = np.sort(volume[lungs].astype(np.float64))[::-1]
    counts = np.linspace(0, 1, 11) * ordered.size
    kept = np.array([ordered[round(count) :].sum() for count in counts]) / ordered.size
    curves = curves_of(scan, volume)
    np.testing.assert_allclose(curves.deletion_SM[:, 0], kept, atol=1e-6)
    np.testing.assert_allclose(curves.insertion_SM[:, 0], ordered.mean() - kept, atol=1e-6)
    np.testing.assert_allclose(curves.deletion_SM[:, 1], -2 * kept, atol=1e-6)


def test_no_order_is_better_than_the_true_one_and_none_worse_than_its_reverse(scan):
    volume, _ = scan
    gaps = {}
    for name, order in {
        "true": volume,
        "noise": np.random.default_rng(2).random(SHAPE).astype(np.float32),
        "reverse": -volume,
    }.items():
        deletion, insertion = curves_of(scan, order).areas()
        gaps[name] = (insertion - deletion)[0]
    assert gaps["true"] > abs(gaps["noise"]) and gaps["reverse"] == pytest.approx(-gaps["true"], abs=1e-6)
    assert abs(gaps["noise"]) < 0.3 * gaps["true"]


def test_insertion_is_the_deletion_of_the_reversed_map_read_backwards(scan):
    volume, _ = scan
    forward, backward = curves_of(scan, volume), curves_of(scan, -volume)
    np.testing.assert_allclose(forward.insertion_SM, backward.deletion_SM[::-1], atol=1e-6)


def test_areas_are_those_of_straight_lines(scan):
    volume, lungs = scan
    flat = np.where(lungs, 0.5, volume).astype(np.float32)
    deletion, insertion = curves_of((flat, lungs), volume).areas()
    assert deletion[0] == pytest.approx(0.25) and insertion[0] == pytest.approx(0.25)


def test_what_replaces_the_lungs_is_not_put_outside_of_them(scan):
    volume, lungs = scan
    seen = []

    def score(changed):
        seen.append(changed)
        return np.zeros(2)

    at = perturbation(volume, np.full(SHAPE, 9.0, np.float32), lungs, score, score(volume), seed=3)
    perturbation_curves(at, volume)
    assert all((changed[~lungs] == volume[~lungs]).all() for changed in seen)
    assert (at.replaced_DHW[lungs] == 9).all() and len(seen) == 2 + 2 * 7


def test_blocks_go_as_one_by_the_mean_of_their_lung_voxels():
    lungs = np.ones((2, 2, 4), bool)
    lungs[0, 0, 0] = False
    values = np.zeros(lungs.shape, np.float32)
    values[0, 0, 0] = 100  # not lung: it says nothing
    values[..., 2:] = 1
    place = importance(values, lungs, block=2, seed=3)
    assert place[0, 0, 0] == 1
    left, right = place[..., :2][lungs[..., :2]], place[..., 2:]
    assert np.ptp(left) == 0 and np.ptp(right) == 0
    assert right[0, 0, 0] == pytest.approx(4 / 15) and left[0] == pytest.approx((8 + 3.5) / 15)


def test_ties_say_nothing_of_where_they_are():
    """A score that rests on the first places alone, and maps that are 0 nearly everywhere."""
    lungs = np.ones((8, 8, 8), bool)
    volume = np.zeros(lungs.shape, np.float32)
    volume[:2] = 1
    score = linear(lungs)

    def gap(map_DHW, seed=3):
        at = perturbation(volume, np.zeros_like(volume), lungs, score, score(volume), seed=seed)
        deletion, insertion = perturbation_curves(at, map_DHW.astype(np.float32)).areas()
        return (insertion - deletion)[0]

    sparse = np.zeros(lungs.shape)
    sparse[-1, -1, -1] = 1
    assert gap(volume) > 0.17
    assert abs(np.mean([gap(sparse, seed) for seed in range(20)])) < 0.02
    assert abs(gap(sparse)) < 0.1 and gap(sparse) == gap(sparse)
    assert gap(sparse, 4) != gap(sparse)


def test_what_is_not_tied_keeps_its_order_whatever_the_seed(scan):
    volume, lungs = scan
    first, second = (importance(volume, lungs, 1, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(first, second)


def test_blurred_lungs_keep_a_constant_and_lose_texture(scan):
    volume, lungs = scan
    constant = np.where(lungs, 0.3, 0.9).astype(np.float32)
    np.testing.assert_allclose(replacements(constant, lungs, 0.5)["blurred"][lungs], 0.3, atol=1e-5)
    smooth = replacements(volume, lungs, 0.5)
    assert smooth["blurred"][lungs].std() < 0.3 * volume[lungs].std()
    assert smooth["blurred"][lungs].mean() == pytest.approx(volume[lungs].mean(), abs=0.05)
    assert (smooth["normal"] == 0.5).all()
