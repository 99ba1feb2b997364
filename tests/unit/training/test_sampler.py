import functools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.training.sampler import draw_batches, rank_share, without_rows
from dcam_dist.types import UNASSIGNED

labels = st.lists(st.integers(0, 4), min_size=1, max_size=40).map(lambda v: np.array(v, dtype=np.int64))


def draw(label_N, *, batch_size=4, passes=1, balance=True, seed=0):
    rng = np.random.default_rng(seed)
    return draw_batches(label_N, batch_size=batch_size, passes=passes, balance=balance, rng=rng)


@given(labels, st.integers(1, 7), st.integers(1, 3), st.integers(0, 99))
def test_balanced_draws_are_equal_over_clusters_and_over_the_cases_of_a_cluster(label_N, batch_size, passes, seed):
    batches = draw(label_N, batch_size=batch_size, passes=passes, seed=seed)
    assert batches.shape == (-(-passes * len(label_N) // batch_size), batch_size)
    per_cluster = np.bincount(label_N[batches.ravel()], minlength=5)[np.unique(label_N)]
    assert np.ptp(per_cluster) <= 1
    per_case = np.bincount(batches.ravel(), minlength=len(label_N))
    for label in np.unique(label_N):
        assert np.ptp(per_case[label_N == label]) <= 1


@given(labels, st.integers(1, 7), st.integers(0, 99))
def test_unbalanced_draws_take_every_case_equally_often(label_N, batch_size, seed):
    counts = np.bincount(draw(label_N, batch_size=batch_size, balance=False, seed=seed).ravel(), minlength=len(label_N))
    assert np.ptp(counts) <= 1
    assert counts.min() >= 1


def test_unlabelled_cases_are_never_drawn():
    label_N = np.array([0, UNASSIGNED, 1, UNASSIGNED, 1])
    for balance in (True, False):
        assert set(draw(label_N, passes=3, balance=balance).ravel()) == {0, 2, 4}
    with pytest.raises(ValueError, match="no case has a label"):
        draw(np.full(3, UNASSIGNED))


def test_the_order_depends_on_the_seed_alone():
    label_N = np.arange(20) % 3
    np.testing.assert_array_equal(draw(label_N), draw(label_N))
    assert not np.array_equal(draw(label_N), draw(label_N, seed=1))


@given(st.integers(1, 5), st.integers(5, 12))
def test_the_ranks_shares_make_up_the_batch_and_differ_by_one_at_most(world_size, batch_size):
    batch = list(range(batch_size))
    shares = [rank_share(batch, rank, world_size) for rank in range(world_size)]
    assert sorted(functools.reduce(operator.iadd, shares, [])) == batch
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert min(map(len, shares)) >= 1


@given(labels, st.integers(1, 7), st.data())
def test_what_remains_after_a_loss_is_drawn_in_its_order_in_whole_batches(label_N, batch_size, data):
    batches = draw(label_N, batch_size=batch_size)
    lost_N = np.array(data.draw(st.lists(st.booleans(), min_size=len(label_N), max_size=len(label_N))))
    remaining = without_rows(batches, lost_N)
    kept = [row for row in batches.ravel() if not lost_N[row]]
    assert remaining.shape == (-(-len(kept) // batch_size), batch_size)
    assert remaining.ravel().tolist()[: len(kept)] == kept
    assert not lost_N[remaining].any()
