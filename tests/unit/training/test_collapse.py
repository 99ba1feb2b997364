import logging

import numpy as np
import pytest

from dcam_dist.errors import Collapsed, DataError
from dcam_dist.training.collapse import refuse_collapse


def look(*sizes, epoch=0, tell=True):
    refuse_collapse(np.array(sizes), epoch, tell=tell)


def test_one_cluster_with_nearly_all_cases_stops_the_run_with_the_sizes():
    with pytest.raises(DataError, match=r"epoch 3: one cluster holds 100% of the cases \(sizes 9/0/0\)"):
        look(9, 0, 0, epoch=2)
    with pytest.raises(DataError, match=r"sizes 1/996/3"):
        look(1, 996, 3, epoch=1)


def test_before_any_step_another_rate_is_not_advised():
    with pytest.raises(DataError, match=r"epoch 1: one cluster.*untrained.*--fresh and another seed") as refused:
        look(9, 0, 0)
    assert "optimizer" not in str(refused.value) and not isinstance(refused.value, Collapsed)


def test_one_cluster_with_most_cases_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        look(5, 95)
    assert "one cluster holds 95% of the cases (sizes 5/95)" in caplog.text


def test_an_uneven_clustering_is_no_collapse(caplog):
    look(70, 20, 10)
    assert not caplog.text
