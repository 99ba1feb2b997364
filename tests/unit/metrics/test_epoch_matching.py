import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dcam_dist.metrics import apply_permutation, match_to_previous
from dcam_dist.types import UNASSIGNED

K = 4
ids_or_none = hnp.arrays(np.int64, 15, elements=st.sampled_from([UNASSIGNED, *range(K)]))


def overlap(previous: np.ndarray, current: np.ndarray, permutation: np.ndarray) -> int:
    renamed = apply_permutation(current, permutation)
    return int(((renamed == previous) & (previous != UNASSIGNED)).sum())


@given(hnp.arrays(np.int64, 15, elements=st.integers(0, K - 1)), st.permutations(range(K)))
def test_renamed_clusters_get_their_previous_ids_back(previous: np.ndarray, names: list[int]):
    current = apply_permutation(previous, np.array(names))
    assert np.array_equal(apply_permutation(current, match_to_previous(previous, current, K)), previous)


@given(ids_or_none, ids_or_none)
def test_the_overlap_is_the_largest_and_ties_change_the_fewest_ids(previous: np.ndarray, current: np.ndarray):
    found = match_to_previous(previous, current, K)
    every = [np.array(names) for names in itertools.permutations(range(K))]

    def rank(names: np.ndarray) -> tuple[int, int]:
        return overlap(previous, current, names), int((names == np.arange(K)).sum())

    assert rank(found) == max(rank(names) for names in every)
    assert np.array_equal(found, match_to_previous(previous, current, K))


@pytest.mark.parametrize(
    ("previous", "current"),
    [([UNASSIGNED] * 3, [0, 1, 2]), ([0, 1, UNASSIGNED], [UNASSIGNED, UNASSIGNED, 2]), ([], [])],
)
def test_identity_where_nothing_overlaps(previous: list[int], current: list[int]):
    found = match_to_previous(np.array(previous, np.int64), np.array(current, np.int64), K)
    assert found.tolist() == list(range(K))


def test_unassigned_stays_unassigned():
    assert apply_permutation(np.array([0, UNASSIGNED, 1]), np.array([1, 0])).tolist() == [1, UNASSIGNED, 0]


def test_what_is_no_permutation_is_refused():
    with pytest.raises(ValueError, match="not a permutation"):
        apply_permutation(np.array([0, 1]), np.array([0, 0]))
    with pytest.raises(ValueError, match="cluster id 2"):
        apply_permutation(np.array([2]), np.array([1, 0]))
    with pytest.raises(ValueError, match="same cases"):
        match_to_previous(np.array([0]), np.array([0, 1]), 2)
