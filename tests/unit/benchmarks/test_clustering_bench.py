"""The benchmarks of clustering: that they run, that all start alike, and that what they measure is what they say."""

import numpy as np
import pytest

from benchmarks import clustering as bench
from benchmarks.clustering_cases import FULL, SMOKE, contenders, groups
from benchmarks.clustering_contender import Case, sum_of_squares
from benchmarks.clustering_data import BLOCK, first_centroids, make_rows
from benchmarks.clustering_figures import figures
from benchmarks.clustering_samples import Samples
from benchmarks.clustering_sessions import Call, session
from benchmarks.clustering_tables import tables
from benchmarks.harness import Options


@pytest.fixture
def smoke(tmp_path):
    return Options("cpu-smoke", repeats=1, cores=1, seed=0, scratch=tmp_path)


def test_rows_do_not_depend_on_how_they_are_cut():
    whole = make_rows(3, 0, BLOCK + 50, 5)
    parts = [make_rows(3, *bounds, 5) for bounds in ((0, 7), (7, BLOCK - 1), (BLOCK - 1, BLOCK + 50))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(first_centroids(3, 4, 5), whole[:4])
    assert not np.array_equal(make_rows(4, 0, 9, 5), whole[:9])


def test_the_common_inertia_is_that_of_the_nearest_centroids():
    rows, centroids = make_rows(0, 0, 300, 6), first_centroids(0, 4, 6)
    distances = np.square(rows[:, None].astype(np.float64) - centroids[None]).sum(axis=2)
    assert sum_of_squares(rows, centroids) == pytest.approx(distances.min(axis=1).sum(), rel=1e-6)


@pytest.mark.distributed
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_contender_is_called_again_and_again(ranks):
    case = Case("torch_kmeans", rows=700, channels=4, clusters=3, seed=0, ranks=ranks, threads=1)
    with session(case) as one:
        few, many = one.call(1), one.call(6)
        assert (few.updates, many.updates) == (1, 6)
        assert many.wall_s > 0
        after_many = one.inertia()
        one.call(1)
        assert one.inertia() > after_many > 0


def test_a_contender_that_fails_says_why():
    with pytest.raises(RuntimeError, match="KeyError: 'nobody'"), session(Case("nobody", 10, 2, 2, 0)) as one:
        one.call(1)


def test_every_size_of_the_plan_is_in_a_group():
    sizes = {(case.rows, case.channels, case.clusters) for cases, *_ in groups(FULL, 0) for case in cases.values()}
    assert {(rows, 64, k) for rows in FULL.rows for k in (6, 64)} <= sizes
    assert {(100_000, 64, 12), (100_000, 8, 64), (100_000, 256, 64)} <= sizes
    for cases, *_ in groups(FULL, 0):
        assert len({(case.rows, case.channels, case.clusters, case.seed) for case in cases.values()}) == 1


def made_up(plan):
    """As if measured: time and memory grow with the size."""
    found = {}
    for cases, sessions, _ in groups(plan, 0):
        for name, case in cases.items():
            size = case.rows * case.channels * case.clusters
            calls = [[Call(size * 1e-8 * n, size * 1e-8 * n, 1e7, n)] * 3 for n in plan.iterations]
            samples = Samples(case, *calls, [10.0] * sessions, 5.0)
            found[name, case.rows, case.channels, case.clusters] = samples
    return found


def test_tables_and_pictures_hold_every_contender(tmp_path):
    found = made_up(FULL)
    made = tables(found, FULL)
    for name in contenders():
        assert sum(f"| {name} |" in text for text in made.values()) == 8
    for name, draw in figures(found, FULL).items():
        draw(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert all(target.met for target in bench.targets(found, FULL))


@pytest.mark.distributed
@pytest.mark.slow
def test_contenders_end_with_the_same_inertia(smoke):
    pytest.importorskip("faiss")
    found = bench.clustering(smoke)
    inertia = found.targets[-1]
    assert inertia.series.name.startswith("inertia") and inertia.met
    measured = {series.name for series in found.series}
    for name in contenders():
        assert {f"{name}, 900 × {SMOKE.channels}, k 3: {what}" for what in ("3 iterations", "peak")} <= measured
