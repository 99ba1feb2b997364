import logging

import numpy as np
import pytest

from dcam_dist.errors import DataError
from dcam_dist.training.collapse import refuse_collapse


def labels(*sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


def test_one_cluster_with_nearly_all_cases_stops_the_run_with_the_sizes():
    with pytest.raises(DataError, match=r"epoch 3: one cluster holds 100% of the cases \(sizes 9/0/0\)"):
        refuse_collapse(labels(9), 3, 2)
    with pytest.raises(DataError, match=r"sizes 1/996/3"):
        refuse_collapse(labels(1, 996, 3), 3, 0)


def test_one_cluster_with_most_cases_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        refuse_collapse(labels(5, 95), 2, 0)
    assert "one cluster holds 95% of the cases (sizes 5/95)" in caplog.text


def test_an_uneven_clustering_is_no_collapse(caplog):
    refuse_collapse(labels(70, 20, 10), 3, 0)
    assert not caplog.text
