"""Nearest centroids and sums of a block on a CPU: the same as the plain formula, and as the GPU's way."""

import numpy as np
import pytest
import torch
from support.cluster_contract import noise

from dcam_dist.clustering import ALONE, ArrayRows, cpu_blocks
from dcam_dist.clustering.cpu_blocks import inertia_on_cpu, nearest_on_cpu, square_distances_on_cpu, sums_on_cpu
from dcam_dist.clustering.torch_lloyd import inertia_and_sizes, lloyd, sums_on_gpu


def plainly(points, centroids):
    return np.square(points[:, None].astype(np.float64) - centroids[None]).sum(axis=2)


@pytest.mark.parametrize("clusters", [1, 2, 6, 16, 17, 64, 300])
@pytest.mark.parametrize("axes", [1, 8, 31, 32, 64, 256])
@pytest.mark.parametrize("count", [0, 1, 127, 1500])
def test_the_nearest_centroid_is_found_whatever_the_sizes(clusters, axes, count):
    points, centroids = noise(count + 1, axes)[:count], noise(clusters, axes, 5)
    square_NK, label_N = plainly(points, centroids), nearest_on_cpu(points, centroids)
    assert label_N.shape == (count,)
    chosen_N = square_NK[np.arange(count), label_N]
    np.testing.assert_allclose(chosen_N, square_NK.min(axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(square_distances_on_cpu(points, centroids, label_N), chosen_N, rtol=1e-5)


@pytest.mark.parametrize("clusters", [4, 40])
def test_of_equally_near_centroids_the_first_is_taken(clusters):
    points = noise(3000, 8)
    centroids = np.repeat(noise(clusters // 2, 8, 5), 2, axis=0)
    label_N = nearest_on_cpu(points, centroids)
    assert (label_N % 2 == 0).all()
    assert len(np.unique(label_N)) == clusters // 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_the_labels_and_the_gpus(dtype):
    points, centroids = noise(2000, 7), np.stack([noise(5, 7, 1), noise(5, 7, 2)])
    found = sums_on_cpu(points, centroids, dtype)
    label_RN = np.stack([nearest_on_cpu(points, one) for one in centroids])
    for labels, sums in zip(label_RN, found, strict=True):
        for cluster in range(5):
            its = points[labels == cluster].astype(np.float64)
            np.testing.assert_allclose(sums[cluster, :-1], its.sum(axis=0), atol=1e-3 if dtype == np.float32 else 1e-9)
            assert sums[cluster, -1] == len(its)
    by_product = sums_on_gpu(
        torch.from_numpy(points.astype(dtype)), torch.from_numpy(label_RN), torch.tensor(centroids)
    )
    np.testing.assert_allclose(by_product.numpy(), found, atol=1e-3 if dtype == np.float32 else 1e-9)


def test_a_point_that_is_its_centroid_is_no_distance_away():
    points = noise(50, 64) + 900
    found = inertia_on_cpu(points, points[None, :50])
    assert found[0, 0] == 0
    assert found[0, 1:].tolist() == [1] * 50


@pytest.mark.parametrize(("clusters", "axes"), [(17, 8), (64, 64), (100, 100), (254, 16)])
def test_the_size_of_a_tile_changes_nothing(clusters, axes, monkeypatch):
    points, centroids = noise(20_000, axes), noise(clusters, axes, 5)
    labels = []
    for multiplications in (2**18, 2**19):
        monkeypatch.setattr(cpu_blocks, "MULTIPLICATIONS", multiplications)
        labels.append(nearest_on_cpu(points, centroids))
    np.testing.assert_array_equal(*labels)


def test_threads_change_nothing():
    points, before = noise(60_000, 16), torch.get_num_threads()
    start = np.stack([points[:7], points[7:14]])
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            moved = lloyd(ArrayRows(points), start, 4, ALONE, "cpu")
            found.append((moved, *inertia_and_sizes(ArrayRows(points), moved, ALONE, "cpu")))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
