import numpy as np
import pytest

from dcam_dist.analysis import run_features
from dcam_dist.cohort import open_cohort
from dcam_dist.errors import UsageError
from dcam_dist.runs import restore_run


def test_a_run_s_features_are_those_that_its_clusters_were_made_of(dcam_run):
    table, run = run_features(dcam_run, split="train"), restore_run(dcam_run)
    assert table.case_id_N == run.assignment.case_id_N
    np.testing.assert_array_equal(run.checkpoint.clustering.assign(table.features_NC), run.assignment.label_N)


def test_all_cases_are_both_splits(dcam_run, small_cohort):
    every = run_features(dcam_run)
    assert every.case_id_N == tuple(case.case_id for case in open_cohort(small_cohort).cases)
    test = run_features(dcam_run, split="test", cohort=small_cohort)
    row = {case_id: row for row, case_id in enumerate(every.case_id_N)}
    np.testing.assert_array_equal(test.features_NC, every.features_NC[[row[case_id] for case_id in test.case_id_N]])


def test_without_a_run_there_are_no_features(tmp_path):
    with pytest.raises(UsageError, match="no run here"):
        run_features(tmp_path)
