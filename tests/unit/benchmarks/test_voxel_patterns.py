"""Scores of patterns against lesions, from counts; and the benchmark itself on tiny data."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from benchmarks import voxel_patterns
from benchmarks.harness import Options
from benchmarks.lesion_scores import (
    LOWEST_HU,
    RATIO_LEVELS,
    LesionCounts,
    average_precision,
    best_pattern,
    best_prefix,
    by_lesion_rate,
    of_last,
    scores,
    table_of,
)

VOXELS, PATTERNS = 4000, 5


@pytest.fixture
def voxels():
    """Distances to centroids, HU and lesions of some voxels; pattern 3 means a lesion more often than not."""
    rng = np.random.default_rng(0)
    distance_NK = rng.gamma(3, size=(VOXELS, PATTERNS)).astype(np.float32)
    label_N = distance_NK.argmin(axis=1)
    lesion_N = rng.random(VOXELS) < np.array([0.05, 0.1, 0.02, 0.6, 0.3])[label_N]
    hu_N = np.where(lesion_N, rng.normal(-960, 25, VOXELS), rng.normal(-880, 40, VOXELS)).astype(np.int16)
    return distance_NK, label_N, hu_N, lesion_N


@pytest.fixture
def counts(voxels):
    distance_NK, _, hu_N, lesion_N = voxels
    counts = LesionCounts.none(PATTERNS)
    for half in (slice(0, VOXELS // 2), slice(VOXELS // 2, None)):  # scan after scan
        counts.add_patterns(distance_NK[half], lesion_N[half])
        counts.add_hu(hu_N[half], lesion_N[half], native=False)
    counts.add_hu(np.array([-2000, -1000, 500], np.int16), np.array([True, True, False]), native=True)
    return counts


def test_average_precision_is_scikit_learns(voxels):
    _, label_N, hu_N, lesion_N = voxels
    found = average_precision(table_of(-hu_N.astype(np.int64), lesion_N, 2000))
    assert found == pytest.approx(average_precision_score(lesion_N, -hu_N.clip(-1999, 0)))
    assert average_precision(table_of(label_N, lesion_N, 9)) == pytest.approx(
        average_precision_score(lesion_N, label_N)
    )
    assert np.isnan(average_precision(np.array([[3.0, 0.0]])))


def test_dice_is_the_f1_score(voxels, counts):
    _, label_N, hu_N, lesion_N = voxels
    assert best_pattern(counts.pattern_K2) == 3
    found = scores(counts, counts)
    assert found["dice_best_pattern"] == pytest.approx(f1_score(lesion_N, label_N == 3))
    assert found["dice_950_grid"] == pytest.approx(f1_score(lesion_N, hu_N < -950))
    assert found["auprc_hu_grid"] == pytest.approx(average_precision_score(lesion_N, -hu_N))


def test_the_tuned_threshold_is_the_best_of_all(voxels, counts):
    _, _, hu_N, lesion_N = voxels
    found = scores(counts, counts)
    every = {threshold: f1_score(lesion_N, hu_N < threshold) for threshold in range(-1099, -700)}
    assert found["dice_tuned_grid"] == pytest.approx(max(every.values()))
    assert every[int(found["tuned_hu_grid"])] == pytest.approx(max(every.values()))


def test_patterns_are_taken_by_their_lesions_share(voxels, counts):
    _, label_N, _, lesion_N = voxels
    order = by_lesion_rate(counts.pattern_K2)
    assert order[-2:].tolist() == [4, 3]
    ordered = counts.pattern_K2[order]
    tried = [f1_score(lesion_N, np.isin(label_N, order[-n:])) for n in range(1, PATTERNS + 1)]
    assert best_prefix(ordered) == 1 + int(np.argmax(tried))
    assert of_last(ordered, best_prefix(ordered)) == pytest.approx(max(tried))


def test_the_nearness_of_a_pattern_keeps_the_order_of_the_voxels(voxels, counts):
    distance_NK, label_N, _, lesion_N = voxels
    other_N = np.delete(distance_NK, 3, axis=1).min(axis=1)
    expected = average_precision_score(lesion_N, other_N / (distance_NK[:, 3] + other_N))
    assert average_precision(counts.nearness_KM2[3]) == pytest.approx(expected, abs=2e-3)  # of RATIO_LEVELS steps
    upper = counts.nearness_KM2[3][RATIO_LEVELS // 2 + 1 :].sum()
    assert upper <= (label_N == 3).sum() <= counts.nearness_KM2[3][RATIO_LEVELS // 2 :].sum()


def test_hu_beyond_the_table_count_at_its_ends(counts):
    assert counts.native_hu_M2[0].tolist() == [0, 1]
    assert counts.native_hu_M2[-1].tolist() == [1, 0]
    assert counts.native_hu_M2[-1000 - LOWEST_HU].tolist() == [0, 1]


@pytest.mark.distributed
@pytest.mark.slow
def test_the_benchmark_runs_on_two_ranks(tmp_path):
    found = voxel_patterns.voxel_patterns(Options("cpu-smoke", repeats=1, cores=1, seed=0, scratch=tmp_path))
    (target,) = found.targets
    assert len(target.series.samples) == voxel_patterns.RANKS
    assert target.met
    (one,) = found.details["seeds"].values()
    assert one["fits"][voxel_patterns.ALL]["rows"] > one["fits"][voxel_patterns.TRAINED]["rows"]
    for fit in one["fits"].values():
        assert sum(fit["sizes"]) == fit["rows"]
        assert all(0 <= fit["scores"][name] <= 1 for name in fit["scores"] if name.startswith(("dice", "auprc")))
    assert not list(tmp_path.glob("*/voxels"))
