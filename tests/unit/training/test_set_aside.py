import json
import logging

import numpy as np
import pytest
from support.cohorts import damage_case, make_cohort, settings

from dcam_dist.config import load_config
from dcam_dist.errors import DataError
from dcam_dist.evaluation import evaluate
from dcam_dist.maps import write_maps
from dcam_dist.runs import latest_checkpoint, read_set_aside
from dcam_dist.training import cycle, dry_run, supervised, train
from dcam_dist.types import UNASSIGNED

VICTIM = "case003"


@pytest.fixture
def cohort(tmp_path):
    return make_cohort(tmp_path / "c.zarr", 13)


def config(cohort, run, **overrides):
    return load_config(None, settings(cohort, output=run, **overrides))


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def shard(cohort):
    return cohort / "cases" / VICTIM / "1" / "c" / "0" / "0" / "0"


class Damaging:
    """``train_epoch``, but the volume is damaged before one epoch's training, or the run interrupted there."""

    def __init__(self, module, cohort, epoch, *, dies_in=None):
        self.original, self.cohort, self.epoch, self.dies_in = module.train_epoch, cohort, epoch, dies_in

    def __call__(self, job, state):
        if state.position.epoch == self.epoch:
            damage_case(self.cohort, VICTIM, "delete")
        if state.position.epoch == self.dies_in:
            raise KeyboardInterrupt
        return self.original(job, state)


def test_one_line_names_the_damaged_case_and_the_remedy(tmp_path, cohort, caplog):
    damage_case(cohort, VICTIM, "truncate")
    with caplog.at_level(logging.WARNING, "dcam_dist"):
        train(config(cohort, tmp_path / "r"))
    (line,) = [record.getMessage() for record in caplog.records if VICTIM in record.getMessage()]
    assert "set aside" in line and line.endswith(f"dcam-dist validate {cohort} --repair")
    (listed,) = read_set_aside(tmp_path / "r")
    assert str(tmp_path) not in listed.reason


def test_the_other_cases_are_trained_on_in_whole_batches(tmp_path, cohort, monkeypatch):
    monkeypatch.setattr(cycle, "train_epoch", Damaging(cycle, cohort, 0))
    train(config(cohort, tmp_path / "r", training__epochs=1, training__passes=3))
    (line,) = metrics(tmp_path / "r")
    assert 0 < line["steps"] <= 7
    assert np.isfinite(line["loss"])


def test_a_set_aside_case_is_tried_anew_at_the_next_start(tmp_path, cohort, monkeypatch):
    run, whole = tmp_path / "r", shard(cohort).read_bytes()
    monkeypatch.setattr(cycle, "train_epoch", Damaging(cycle, cohort, 0, dies_in=2))
    with pytest.raises(KeyboardInterrupt):
        train(config(cohort, run, training__epochs=3))
    assert latest_checkpoint(run).epoch == 2
    assert latest_checkpoint(run).assignment.by_case()[VICTIM] == UNASSIGNED
    monkeypatch.undo()
    shard(cohort).write_bytes(whole)
    train(config(cohort, run, training__epochs=3))
    assert [line["set_aside"] for line in metrics(run)] == [1, 1, 0]
    assert latest_checkpoint(run).assignment.by_case()[VICTIM] >= 0
    assert [case.epoch for case in read_set_aside(run)] == [0]


def test_a_repeated_epoch_lists_its_damaged_case_once_and_resumes_to_the_same_bits(tmp_path, cohort, monkeypatch):
    runs = tmp_path / "interrupted", tmp_path / "straight"
    damage_case(cohort, VICTIM, "flip")
    monkeypatch.setattr(cycle, "train_epoch", Damaging(cycle, cohort, None, dies_in=1))
    with pytest.raises(KeyboardInterrupt):
        train(config(cohort, runs[0]))
    monkeypatch.undo()
    for run in runs:
        train(config(cohort, run))
    assert [case.epoch for case in read_set_aside(runs[0])] == [0, 1]  # met in each start
    assert [case.epoch for case in read_set_aside(runs[1])] == [0]
    one, other = (latest_checkpoint(run) for run in runs)
    for name in one.engine:
        np.testing.assert_array_equal(one.engine[name].numpy(), other.engine[name].numpy(), err_msg=name)
    np.testing.assert_array_equal(one.assignment.label_N, other.assignment.label_N)


def test_more_than_a_twentieth_of_the_cases_stop_the_run_and_the_checkpoint_stays(tmp_path, cohort, monkeypatch):
    def damage_two(job, state):
        if state.position.epoch == 1:
            damage_case(cohort, "case000", "empty")
            damage_case(cohort, VICTIM, "flip")
        return original(job, state)

    original = cycle.train_epoch
    monkeypatch.setattr(cycle, "train_epoch", damage_two)
    with pytest.raises(DataError, match=r"2 of 9 training cases are damaged, more than 5%.*--repair") as caught:
        train(config(cohort, tmp_path / "r", training__epochs=3))
    assert caught.value.exit_code == 3
    assert latest_checkpoint(tmp_path / "r").epoch == 1
    assert {case.case_id for case in read_set_aside(tmp_path / "r")} == {"case000", VICTIM}


def test_fewer_cases_than_clusters_stop_the_run(tmp_path, cohort):
    damage_case(cohort, VICTIM, "flip")
    with pytest.raises(DataError, match=f"{VICTIM} is damaged .* 8 training cases are fewer than the 9 clusters"):
        train(config(cohort, tmp_path / "r", clustering__clusters=9))


def test_a_supervised_run_goes_on_without_the_case(tmp_path, cohort, monkeypatch):
    monkeypatch.setattr(supervised, "train_epoch", Damaging(supervised, cohort, 0))
    train(config(cohort, tmp_path / "r", method="supervised"))
    assert [line["set_aside"] for line in metrics(tmp_path / "r")] == [1, 1]
    assert latest_checkpoint(tmp_path / "r").assignment.by_case()[VICTIM] == UNASSIGNED


def test_evaluation_names_the_case_until_it_is_mended_and_maps_do_without_it(tmp_path, cohort):
    run, whole = tmp_path / "r", shard(cohort).read_bytes()
    damage_case(cohort, VICTIM, "flip")
    train(config(cohort, run, training__epochs=1, maps__typical_cases=1))
    with pytest.raises(DataError, match=rf"case {VICTIM}: .*--repair"):
        evaluate([run])
    assert VICTIM not in write_maps(run).case_ids
    shard(cohort).write_bytes(whole)
    assert evaluate([run]).files


def test_a_dry_run_stops_at_a_damaged_case(tmp_path, cohort):
    damage_case(cohort, VICTIM, "flip")
    with pytest.raises(DataError, match=VICTIM):
        dry_run(config(cohort, tmp_path / "r"))
