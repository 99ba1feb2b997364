"""Clustering on a CUDA device: torch against the CPU and the contract, cuML where it is installed against scikit-learn.

Selected with ``-m gpu``; fails without a device; what needs cuML is skipped where it is not installed.
"""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from support.cluster_contract import CHECKS, groups, noise, settings

from dcam_dist.clustering import ALONE, ArrayRows, choose_backend
from dcam_dist.clustering.cuml_backend import WORKSPACE_BYTES, CumlBackend, peak_bytes
from dcam_dist.clustering.rows import CHUNK_BYTES
from dcam_dist.clustering.torch_backend import TorchBackend
from dcam_dist.clustering.torch_lloyd import inertia_and_sizes, lloyd
from dcam_dist.clustering.torch_points import GPU_BLOCK, TensorRows
from dcam_dist.metrics import adjusted_rand

pytestmark = pytest.mark.gpu
SAME_BITS = "the same seed the same bits"


def on_gpu(features, chosen, seed):
    return TorchBackend("cuda:0").fit(ArrayRows(features), chosen, seed, ALONE)


@pytest.fixture(scope="module")
def cuml():
    """The backend as a ``fit``, chosen as users choose it."""
    pytest.importorskip("cuml")
    backend = choose_backend(settings(backend="cuml"), 1000, "cuda:0")

    def fit(features, chosen, seed):
        found = backend.fit(ArrayRows(features), chosen, seed, ALONE)
        assert found.backend == "cuml"
        return found

    return fit


@contextmanager
def watching_memory():
    """Gives the most bytes of the device that were taken meanwhile, by whichever library."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before, taken, ended = torch.cuda.mem_get_info()[0], [0], threading.Event()

    def watch():
        while not ended.wait(0.001):
            taken[0] = max(taken[0], before - torch.cuda.mem_get_info()[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield taken
    finally:
        ended.set()
        watcher.join()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_torch_keeps_the_contract(check):
    check(on_gpu)


@pytest.mark.parametrize("rows", [601, 200_003])
def test_torch_finds_what_it_finds_on_the_cpu(rows):
    features, chosen = groups(rows, channels=12), settings(restarts=3)
    found, expected = on_gpu(features, chosen, 0), TorchBackend("cpu").fit(ArrayRows(features), chosen, 0, ALONE)
    np.testing.assert_array_equal(found.model.assign(features), expected.model.assign(features))
    np.testing.assert_allclose(found.model.centroid_KP, expected.model.centroid_KP, rtol=0, atol=1e-5)
    assert found.inertia == pytest.approx(expected.inertia, rel=1e-6)


def test_equally_near_centroids_count_once_on_either_device():
    points = np.repeat(noise(50, 3), 4000, axis=0)
    start = np.concatenate([points[[0, 0, 8000, 8000]], points[[40_000]]])[None]
    moved = {device: lloyd(ArrayRows(points), start, 3, ALONE, device) for device in ("cpu", "cuda:0")}
    np.testing.assert_allclose(moved["cuda:0"], moved["cpu"], rtol=0, atol=1e-6)
    counted = {device: inertia_and_sizes(ArrayRows(points), moved["cpu"], ALONE, device)[1] for device in moved}
    np.testing.assert_array_equal(counted["cuda:0"], counted["cpu"])


def test_torch_takes_no_more_memory_for_ten_times_the_rows():
    chosen, peaks = settings(clusters=64, pca_components=8, iterations=3), []
    distances = GPU_BLOCK * chosen.restarts * chosen.clusters * 4
    for rows in (200_000, 2_000_000):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        on_gpu(noise(rows, 16), chosen, 0)
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 1.1 * peaks[0] < 8 * distances + 8 * CHUNK_BYTES


def test_rows_that_are_on_the_device_give_the_same():
    points = torch.randn(100_000, 8, device="cuda:0")
    start = points[:5].cpu().numpy()[None]
    there = lloyd(TensorRows(points), start, 2, ALONE, "cuda:0")
    np.testing.assert_array_equal(there, lloyd(ArrayRows(points.cpu().numpy()), start, 2, ALONE, "cuda:0"))


@pytest.mark.parametrize("check", [name for name in CHECKS if name != SAME_BITS])
def test_cuml_keeps_the_contract(cuml, check):
    CHECKS[check](cuml)


def test_cuml_finds_the_same_again_but_for_rounding(cuml):
    one, two = (cuml(groups(), settings(), 7) for _ in range(2))
    np.testing.assert_allclose(one.model.components_PC, two.model.components_PC, atol=1e-5)
    np.testing.assert_allclose(one.model.centroid_KP, two.model.centroid_KP, atol=1e-4)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_cuml_agrees_with_torch_on_many_rows(cuml, init):
    features, chosen = groups(1_000_003, channels=64), settings(init=init, restarts=20)
    found, expected = cuml(features, chosen, 0), on_gpu(features, chosen, 0)
    assert adjusted_rand(found.model.assign(features), expected.model.assign(features)) >= 0.99
    assert found.inertia == pytest.approx(expected.inertia, rel=0.01)
    np.testing.assert_allclose(found.model.components_PC, expected.model.components_PC, atol=1e-3)


def test_cupy_works_on_the_memory_of_torch(cuml):
    from dcam_dist.clustering import cuml_libraries

    columns = torch.zeros(3, 5, device="cuda:0")
    array = cuml_libraries.array_of(columns.T)
    array += 1
    assert (array.data.ptr, array.flags.f_contiguous) == (columns.data_ptr(), True)
    assert columns.cpu().sum() == 15


@pytest.mark.parametrize(("channels", "axes", "clusters"), [(64, 8, 6), (64, 64, 64), (8, 8, 64)])
def test_cuml_takes_no_more_memory_than_was_estimated(cuml, channels, axes, clusters):
    features, chosen = noise(2_000_000, channels), settings(clusters=clusters, pca_components=axes, restarts=2)
    cuml(features[:1000], chosen, 0)
    with watching_memory() as taken:
        cuml(features, chosen, 0)
    rows_alone = peak_bytes(features.shape, chosen) - WORKSPACE_BYTES
    assert rows_alone / 2 < taken[0] < peak_bytes(features.shape, chosen)


def test_cuml_gives_way_to_torch_where_memory_is_short(cuml, caplog):
    from dcam_dist.clustering import cuml_libraries

    free = cuml_libraries.free_bytes("cuda:0")
    held = torch.empty(free - 2**29, dtype=torch.uint8, device="cuda:0")
    found = CumlBackend("cuda:0", cuml_libraries).fit(ArrayRows(groups()), settings(), 0, ALONE)
    assert found.backend == "torch" and held.is_cuda
    assert "torch clusters: cuML would need about 0.54 GB on cuda:0" in caplog.text


def test_auto_takes_cuml_for_many_rows_on_a_gpu(cuml):
    assert choose_backend(settings(), 10**6, "cuda:0").libraries is not None
    assert choose_backend(settings(), 1000, "cuda:0").name == "sklearn"
