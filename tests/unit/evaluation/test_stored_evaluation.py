"""Scores come back from a run as they were written, and only for the state of the run that they are of."""

import json
import shutil

import pytest
from support.cohorts import settings

from dcam_dist.config import load_config
from dcam_dist.errors import DataError
from dcam_dist.evaluation import evaluate
from dcam_dist.evaluation.stored import evaluation_of, read_evaluation
from dcam_dist.report.study import open_study
from dcam_dist.runs import restore_run
from dcam_dist.training import train


@pytest.fixture
def run(dcam_run, tmp_path):
    return shutil.copytree(dcam_run, tmp_path / "run")


def changed(run, **entries):
    file = run / "evaluation.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def as_json(rows):
    return {name: row.to_dict() for name, row in rows.items()}


def test_scores_come_back_as_they_were(run, small_cohort):
    assert read_evaluation(run) is None and evaluation_of(restore_run(run)) is None
    written = evaluate([run], cohort=small_cohort).methods
    found = evaluation_of(restore_run(run))
    assert as_json(found.rows) == as_json(written) and list(found.rows) == list(written)
    assert found.rows["dcam"].test.accuracy_interval == written["dcam"].test.accuracy_interval
    assert found.rows["dcam"].mapping_K == written["dcam"].mapping_K


def test_scores_without_labels_come_back_too(unlabelled_cohort, tmp_path):
    run = train(load_config(None, settings(unlabelled_cohort, output=tmp_path / "run", training__epochs=1))).run
    written = evaluate([run]).methods
    found = read_evaluation(run)
    assert as_json(found.rows) == as_json(written) and found.rows["dcam"].mapping_K is None


@pytest.mark.parametrize("other", [{"epochs": 99}, {"seed": 99}, {"method": "baseline"}])
def test_scores_of_another_state_are_not_the_runs(run, small_cohort, other):
    evaluate([run], cohort=small_cohort)
    study = open_study(run, small_cohort)
    assert study.evaluation.rows and min(study.head_N) >= 0
    changed(run, **other)
    assert evaluation_of(restore_run(run)) is None and read_evaluation(run).rows
    study = open_study(run, small_cohort)
    assert study.evaluation is None and max(study.head_N) < 0


@pytest.mark.parametrize("rows", [None, {"dcam": {"train": 3}}, 3])
def test_a_damaged_file_is_told_and_the_report_goes_on_without_it(run, small_cohort, rows):
    evaluate([run], cohort=small_cohort)
    changed(run, rows=rows)
    with pytest.raises(DataError, match=r"evaluation\.json: damaged; make it anew with: dcam-dist evaluate"):
        evaluation_of(restore_run(run))
    assert open_study(run, small_cohort).evaluation is None
