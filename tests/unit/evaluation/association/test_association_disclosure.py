"""What is kept back: no figure of one or two cases, and none that gives one away."""

import itertools

import numpy as np
import pytest

from dcam_dist.evaluation.association.disclosure import kept_back, shareable, shareable_survival
from dcam_dist.evaluation.association.groups import describe
from dcam_dist.evaluation.association.survival import survival_rows


def test_counts_of_one_and_two_go_with_the_next_smallest_of_their_row_and_column():
    table = np.array([[10, 2, 5], [9, 8, 4], [0, 12, 13]])
    back = kept_back(table)
    assert back.tolist() == [[False, True, True], [False, True, True], [False, False, False]]
    assert not kept_back(np.array([[3, 0], [4, 7]])).any()
    assert kept_back(np.array([[2, 0, 0], [9, 8, 7], [9, 9, 9]]))[0].all()  # a cluster of two: zeros tell too


@pytest.mark.parametrize("seed", range(30))
def test_no_small_count_can_be_solved_for_from_what_is_left(seed):
    """Every table of the same margins and the same shown cells: a hidden count of 1 or 2 may be another number."""
    rng = np.random.default_rng(seed)
    table = rng.poisson(3.0, (2, 3)) + rng.integers(0, 4, (2, 3))
    back = kept_back(table)
    places = [tuple(place) for place in np.argwhere(back)]
    seen = {place: set() for place in places}
    for values in itertools.product(range(1, 16), repeat=len(places)) if len(places) <= 4 else ():
        other = table.copy()
        for place, value in zip(places, values, strict=True):
            other[place] = value
        if (other.sum(axis=0) == table.sum(axis=0)).all() and (other.sum(axis=1) == table.sum(axis=1)).all():
            for place, value in zip(places, values, strict=True):
                seen[place].add(value)
    if len(places) <= 4 and (table[0] > 0).all() and (table[1] > 0).all():
        assert all(len(seen[place]) > 1 for place in places if table[place] < 3)


def test_a_median_needs_three_cases_and_quartiles_and_mean_six():
    values, cluster = np.arange(14.0), np.repeat([0, 1, 2], (2, 5, 7))
    two, five, seven = shareable(describe(values, cluster, 3))
    assert (two.n, five.n, five.median, seven.median) == (2, 5, 4.0, 10.0)
    assert np.isnan([two.median, five.lower, five.upper, five.mean, five.sd]).all()
    assert np.isfinite([seven.lower, seven.upper, seven.mean, seven.sd]).all()


def survival(events, n=12):
    """Clusters of n cases of which the first so many have the event."""
    event = np.concatenate([np.arange(n) < one for one in events]).astype(float)
    cluster = np.repeat(range(len(events)), n)
    time = np.random.default_rng(0).permutation(len(event)) + 1.0
    return time, event, cluster, survival_rows(time, event, cluster, (), range(len(events)))


def test_few_events_are_kept_back_with_the_median_and_with_what_would_tell_them():
    rows = [row for row in shareable_survival(survival([2, 5, 6, 7])[-1]) if row.analysis == "kaplan-meier"]
    assert [(row.n, row.events) for row in rows] == [(12, None), (12, None), (12, 6), (12, 7)]
    assert np.isnan(rows[0].estimate)
    assert rows[0].note == "fewer than 3 events"
    assert not np.isnan(rows[1].estimate)
    survivors = [row for row in shareable_survival(survival([11, 5, 6, 7])[-1]) if row.analysis == "kaplan-meier"]
    assert [row.events for row in survivors] == [None, None, 6, 7]


def test_a_cluster_that_is_kept_back_once_is_so_in_every_model():
    *_, rows = survival([2, 8, 8, 8], n=20)
    found = shareable_survival(rows)
    hidden = {row.cluster for row in found if row.cluster is not None and row.events is None}
    assert 0 in hidden
    assert len(hidden) >= 2
    of_clusters = [row for row in found if row.reference is not None or row.analysis == "kaplan-meier"]
    assert all((row.events is None) == (row.cluster in hidden) for row in of_clusters)
    assert any(row.reference is not None for row in of_clusters)


def test_a_tiny_cluster_has_no_figure_of_survival_and_few_events_of_all_are_not_counted():
    time, event, cluster, _ = survival([6, 6])
    cluster = np.where(np.arange(24) < 4, 2, cluster)
    rows = shareable_survival(survival_rows(time, event, cluster, (), range(3)))
    tiny = next(row for row in rows if row.cluster == 2)
    assert (tiny.n, tiny.events, tiny.note) == (None, None, "fewer than 5 cases")
    whole = next(row for row in shareable_survival(survival([1, 1])[-1]) if row.analysis == "log-rank")
    assert (whole.n, whole.events) == (24, None)
