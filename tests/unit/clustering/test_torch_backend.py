"""What is the torch backend's alone: rows that are streamed, its draws, its sums."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.cluster import KMeans
from support.cluster_contract import groups, noise, settings
from support.processes import python

from dcam_dist.clustering import ALONE, ArrayRows, choose_backend
from dcam_dist.clustering import model as model_module
from dcam_dist.clustering import rows as rows_module
from dcam_dist.clustering.model import centroid_distances, nearest, sum_of_squares
from dcam_dist.clustering.torch_backend import PEAK_CHUNKS, TorchBackend
from dcam_dist.clustering.torch_lloyd import inertia_and_sizes, lloyd
from dcam_dist.clustering.torch_lloyd import nearest as nearest_of_block
from dcam_dist.clustering.torch_seeding import exponentials, seed_centroids


@dataclass(frozen=True)
class OddChunks:
    """The same rows in chunks of odd sizes."""

    values_NC: np.ndarray

    @property
    def shape(self):
        return self.values_NC.shape

    def chunks(self):
        yield from np.split(self.values_NC, [1, 2, 77, 400, 1500])


def fit(rows, seed=0, **changes):
    return TorchBackend().fit(rows, settings(**changes), seed, ALONE)


def test_chunks_change_nothing_but_rounding():
    features = noise()
    whole, streamed = (fit(rows, clusters=8) for rows in (ArrayRows(features), OddChunks(features)))
    np.testing.assert_array_equal(streamed.size_K, whole.size_K)
    np.testing.assert_allclose(streamed.model.centroid_KP, whole.model.centroid_KP, atol=1e-6)


def test_points_in_a_file_are_those_in_memory(monkeypatch):
    features = noise()
    whole = fit(ArrayRows(features), clusters=8)
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 4 * 6 * 100)
    monkeypatch.setattr("dcam_dist.clustering.torch_points.CHUNK_BYTES", 4 * 6 * 100)
    spilled = fit(ArrayRows(features), clusters=8)
    np.testing.assert_allclose(spilled.model.centroid_KP, whole.model.centroid_KP, atol=1e-6)


@pytest.mark.parametrize("iterations", [1, 2, 5, 50])
def test_lloyd_is_scikit_learns(iterations):
    points = noise(3001, 8)
    start = points[:7]
    moved = lloyd(ArrayRows(points), start[None], iterations, ALONE, "cpu")[0]
    expected = KMeans(7, init=start, n_init=1, max_iter=iterations, algorithm="lloyd").fit(points)
    np.testing.assert_allclose(moved, expected.cluster_centers_, atol=2e-3)
    (inertia,), size_RK = inertia_and_sizes(ArrayRows(points), moved[None], ALONE, "cpu")
    assert inertia == pytest.approx(expected.inertia_, rel=1e-4)
    assert size_RK.sum() == 3001


def test_several_starts_are_what_each_is_alone():
    points = noise(1500, 5)
    starts = np.stack([points[i : i + 4] for i in range(0, 40, 8)])
    together = lloyd(ArrayRows(points), starts, 3, ALONE, "cpu")  # too few for any to converge before the others
    for start, moved in zip(starts, together, strict=True):
        np.testing.assert_allclose(moved, lloyd(ArrayRows(points), start[None], 3, ALONE, "cpu")[0], atol=1e-5)


def test_a_point_between_two_equal_centroids_counts_once():
    points = np.array([[0, 0], [2, 0], [4, 0]], np.float32)
    twice = np.array([[[1, 0], [1, 0], [9, 9]]], np.float32)
    assert nearest_of_block(torch.from_numpy(points), torch.from_numpy(twice)).tolist() == [[0, 0, 0]]
    moved = lloyd(ArrayRows(points), twice, 1, ALONE, "cpu")[0]
    np.testing.assert_allclose(moved, [[2, 0], [1, 0], [9, 9]])


def test_a_point_that_is_drawn_further_away_is_drawn_more_often():
    """k-means++ takes the outlying pair in nearly every draw, a random start hardly ever."""
    points = np.concatenate([noise(500, 2), noise(2, 2) + 300]).astype(np.float32)

    def outlying(**how):
        drawn = [seed_centroids(ArrayRows(points), 2, 1, seed, ALONE, "cpu", **how)[0] for seed in range(30)]
        return sum((start > 100).any() for start in drawn)

    assert outlying() >= 28
    assert outlying(random=True) <= 3


def test_the_first_centroids_are_rows_and_differ_by_restart():
    points = noise(400, 3)
    start_RKP = seed_centroids(ArrayRows(points), 5, 4, 0, ALONE, "cpu")
    rows = {tuple(row) for row in points.tolist()}
    assert all(tuple(row) in rows for row in start_RKP.reshape(-1, 3).tolist())
    assert len({start.tobytes() for start in start_RKP}) > 1


def test_the_draws_are_exponential_and_depend_on_the_place_alone():
    whole = exponentials(0, 20_000, 5)
    np.testing.assert_array_equal(np.concatenate([exponentials(0, 7, 5), exponentials(7, 19_993, 5)]), whole)
    assert stats.kstest(whole, "expon").pvalue > 0.01
    assert abs(np.corrcoef(whole, exponentials(0, 20_000, 6))[0, 1]) < 0.03
    assert abs(np.corrcoef(whole[:-1], whole[1:])[0, 1]) < 0.03


def test_distances_to_centroids_do_not_depend_on_how_many_are_taken_at_once(monkeypatch):
    points, centroids = noise(1000, 4), noise(9, 4, 5)
    whole = centroid_distances(points, centroids), nearest(points, centroids), sum_of_squares(points, centroids)
    monkeypatch.setattr(model_module, "BLOCK_NUMBERS", 100)
    np.testing.assert_array_equal(centroid_distances(points, centroids), whole[0])
    np.testing.assert_array_equal(nearest(points, centroids), whole[1])
    assert sum_of_squares(points, centroids) == pytest.approx(whole[2], rel=1e-12)


def test_what_is_taken_automatically_depends_on_rows():
    assert choose_backend(settings(), 2000).name == "sklearn"
    assert choose_backend(settings(), 10**6).name == "torch"
    assert choose_backend(settings(backend="torch"), 20).name == "torch"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows():
    peaks = {}
    for rows in (250_000, 1_500_000):
        ended = python(["tests/support/streamed_fit.py", str(rows)])
        assert ended.returncode == 0, ended.stderr
        peaks[rows] = json.loads(ended.stdout)["peak_chunks"]
    assert max(peaks.values()) <= PEAK_CHUNKS
    assert peaks[1_500_000] <= peaks[250_000] + 1.5


def test_groups_are_found():
    found = fit(ArrayRows(groups()))
    assert found.repaired == 0 and (found.size_K > 0).all()
