"""How an epoch's clusters differ from those of the epoch before."""

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from dcam_dist.training.epoch_metrics import drift
from dcam_dist.types import UNASSIGNED, Assignment

NO = UNASSIGNED


def before(label):
    return Assignment(np.array(label), tuple(f"c{i}" for i in range(len(label))), 0, 1.0)


def test_it_is_over_the_cases_that_have_a_cluster_in_both():
    then, now = [0, 0, 1, 1, 2, NO, 2, 2], [0, 0, 1, 2, 2, 0, NO, 2]
    found = drift(before(then), np.array(now))
    both = [i for i in range(8) if NO not in (then[i], now[i])]
    assert found["moved_share"] == pytest.approx(1 / 6)
    assert found["ari_previous"] == pytest.approx(adjusted_rand_score(*(np.array(x)[both] for x in (then, now))))
    assert 0 < found["nmi_previous"] < 1


def test_nothing_moved():
    assert drift(before([0, 1, 1, 2]), np.array([0, 1, 1, 2])) == {
        "nmi_previous": pytest.approx(1),
        "ari_previous": 1.0,
        "moved_share": 0.0,
    }


def test_without_an_epoch_before_or_a_case_in_both_there_is_none():
    assert set(drift(None, np.array([0, 1])).values()) == {None}
    assert drift(before([NO, NO, 0]), np.array([0, 1, NO]))["moved_share"] is None


def test_a_run_writes_it_each_epoch(dcam_run):
    lines = [json.loads(line) for line in (dcam_run / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["ari_previous"] is lines[0]["moved_share"] is None
    for line in lines[1:]:
        assert (line["moved_share"] == 0) == (line["ari_previous"] == 1)
        assert 0 <= line["moved_share"] <= 1
    assert all(line["calinski_harabasz"] is None or line["calinski_harabasz"] >= 0 for line in lines)
