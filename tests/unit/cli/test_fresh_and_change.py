"""``train`` in a used directory: on by default, with other settings only by name, anew only when asked."""

import json
import shutil

import pytest
from support.cohorts import settings
from support.verbs import call_verb

from dcam_dist.runs import latest_checkpoint, read_run_config


@pytest.fixture
def train(monkeypatch, capsys, small_cohort):
    def call(run, *options, **overrides):
        arguments = [*settings(small_cohort, output=run, training__epochs=3), *options]
        arguments += [f"{name.replace('__', '.')}={value}" for name, value in overrides.items()]
        code, _, err = call_verb(monkeypatch, capsys, "train", *arguments)
        return code or 0, err

    return call


@pytest.fixture
def run(tmp_path, dcam_run):
    return shutil.copytree(dcam_run, tmp_path / "run")


def test_a_finished_run_goes_on_to_more_epochs_by_name_alone(train, run):
    code, err = train(run, training__epochs=4)
    assert code == 2 and "(training.epochs: 3 → 4)" in err and "--change training.epochs" in err
    assert latest_checkpoint(run).epoch == 3
    code, err = train(run, "--change", "training.epochs", training__epochs=4)
    assert code == 0, err
    assert latest_checkpoint(run).finished and latest_checkpoint(run).epoch == 4
    [line] = (run / "history.jsonl").read_text().splitlines()
    assert json.loads(line)["position"] == {"epoch": 3, "phase": "done", "step": 0}
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 4


def test_what_cannot_change_is_refused_even_by_name(train, run):
    code, err = train(run, "--change", "clustering.clusters", clustering__clusters=2)
    assert code == 2 and "clustering.clusters cannot change in a run" in err and len(err.splitlines()) == 1


def test_fresh_moves_the_run_aside_and_begins_anew(train, run):
    before = latest_checkpoint(run)
    code, err = train(run, "--fresh", training__epochs=1)
    assert code == 0, err
    assert latest_checkpoint(run).epoch == 1 and read_run_config(run).training.epochs == 1
    moved = latest_checkpoint(run.with_name("run.old-1"))
    assert moved.position == before.position and sorted(path.name for path in run.parent.iterdir()) == [
        "run",
        "run.old-1",
    ]


def test_a_directory_of_something_else_is_never_moved(train, tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    code, err = train(tmp_path, "--fresh")
    assert code == 2 and "exists and holds no run" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]
