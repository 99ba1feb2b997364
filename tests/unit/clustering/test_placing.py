"""The same labels from every library, whatever is as near as can be; and the formula against plain ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.clusterings import Population, cluster_rows

from dcam_dist.clustering import ClusterModel
from dcam_dist.clustering import placing as placing_module
from dcam_dist.clustering.placing import NUMPY, ArrayLibrary, place

TORCH = ArrayLibrary(lambda array: torch.from_numpy(np.ascontiguousarray(array)), lambda tensor: tensor.numpy())
ROWS = Population.of(0).rows(500, 1)


def model_of(centroids, *, channels=None, whiten=False, l2_normalize=False):
    centroids = np.asarray(centroids, np.float32)
    axes, channels = centroids.shape[1], channels or centroids.shape[1]
    return ClusterModel(
        np.zeros(channels, np.float32),
        np.ones(channels, np.float32),
        np.eye(axes, channels, dtype=np.float32),
        np.ones(axes, np.float32),
        centroids,
        whiten,
        l2_normalize,
    )


@pytest.mark.parametrize("options", [{}, {"whiten": True}, {"l2_normalize": True}, {"pca_components": 0.5}])
@pytest.mark.parametrize("library", [NUMPY, TORCH])
def test_it_places_rows_as_the_model_does(options, library):
    model = cluster_rows(ROWS, **options).model
    placed = place(ROWS, model, library)
    distance_NK = np.sort(model.distances(model.project(ROWS)).astype(np.float64), axis=1)
    np.testing.assert_array_equal(placed.label_N, model.assign(ROWS))
    np.testing.assert_allclose(placed.distance_N, distance_NK[:, 0], rtol=1e-5)
    np.testing.assert_allclose(placed.margin_N, distance_NK[:, 1] - distance_NK[:, 0], atol=1e-5)
    scaled = (ROWS.astype(np.float64) - model.mean_C) / model.scale_C
    left = scaled - scaled @ model.components_PC.T.astype(np.float64) @ model.components_PC
    np.testing.assert_allclose(placed.residual_N, np.linalg.norm(left, axis=1), rtol=1e-6)


@pytest.mark.slow
def test_two_million_rows_get_the_same_labels_from_numpy_and_torch(monkeypatch):
    """Among them exact ties: rows halfway between two centroids, at both, and in the centre of all."""
    rng = np.random.default_rng(0)
    centroids = rng.integers(-4, 5, (16, 8)).astype(np.float32)
    centroids[5] = centroids[3]
    rows = rng.normal(0, 4, (2_000_000, 8)).astype(np.float32)
    one, other = rng.integers(0, 16, (2, 500_000))
    rows[:500_000] = (centroids[one] + centroids[other]) / 2
    rows[500_000:600_000] = 0
    ours = place(rows, model_of(centroids))
    monkeypatch.setattr(placing_module, "BLOCK_NUMBERS", 1_000_003)  # other blocks too
    theirs = place(rows, model_of(centroids), TORCH)
    np.testing.assert_array_equal(ours.label_N, theirs.label_N)
    np.testing.assert_allclose(ours.distance_N, theirs.distance_N, rtol=1e-12, atol=1e-12)
    assert 5 not in ours.label_N


def test_of_equally_near_centroids_the_first_has_the_row():
    corners = np.random.default_rng(1).choice([-2, 2], (2000, 8)).astype(np.float32)
    placed = place(corners, model_of(np.concatenate([np.eye(8), -np.eye(8)])))
    positive = corners > 0  # of the first eight centroids, those are as near as any
    np.testing.assert_array_equal(placed.label_N, np.where(positive.any(axis=1), positive.argmax(axis=1), 8))
    assert not placed.margin_N.any()


@pytest.mark.parametrize("library", [NUMPY, TORCH])
def test_the_order_of_sums_does_not_decide(library):
    """Rows whose channels cancel are as far from one centroid as from the other, but for the rounding of the sum."""
    rng = np.random.default_rng(2)
    half = rng.normal(0, 1000, (5000, 8)).astype(np.float32)
    rows = np.concatenate([half, -rng.permuted(half, axis=1)], axis=1)
    model = replace(
        model_of([[-1], [1]], channels=16),
        components_PC=np.full((1, 16), 0.25, np.float32),
        scale_C=np.full(16, 3, np.float32),
    )
    parted = ((rows.astype(np.float64) / 3) @ np.full(16, 0.25)) > 0
    assert 1000 < parted.sum() < 4000  # rounding alone would give these the second centroid
    for order in (np.arange(16), rng.permutation(16)):
        assert not place(rows[:, order], model, library).label_N.any()


def test_no_rows_and_one_row():
    model = model_of([[0, 0], [1, 1]])
    assert len(place(np.empty((0, 2), np.float32), model).label_N) == 0
    placed = place(np.array([[3, 4]], np.float32), model)
    assert placed.label_N.tolist() == [1]
    assert placed.margin_N[0] == pytest.approx(5 - np.sqrt(13))


def test_what_lies_in_the_subspace_has_no_residual_and_what_does_not_has_it():
    model = model_of([[0, 0], [1, 1]], channels=3)
    placed = place(np.array([[5, 5, 0], [5, 5, 2]], np.float32), model)
    assert placed.residual_N.tolist() == [0, 2]
    full = cluster_rows(ROWS, pca_components=64).model
    assert not place(ROWS, full).residual_N.any()


def test_a_zero_row_stays_where_it_is_when_rows_have_unit_length():
    placed = place(np.zeros((1, 2), np.float32), model_of([[1, 0], [0, 0.5]], l2_normalize=True))
    assert (placed.label_N.tolist(), placed.distance_N.tolist()) == ([1], [0.5])
