"""The verb ``select-k``: on a file and on a run, what it prints, what it refuses, what it shows meanwhile."""

import io
import json
from functools import partial

import numpy as np
import pytest
from support.verbs import call_verb

from dcam_dist.commands.select_k_progress import Bar, Lines, view_for
from dcam_dist.runs import write_features
from dcam_dist.types import FeatureTable

LITTLE = ("--to", "4", "--seeds", "2", "--resamples", "3", "--references", "3")


@pytest.fixture
def command(monkeypatch, capsys):
    return partial(call_verb, monkeypatch, capsys, "select-k")


@pytest.fixture
def features(tmp_path):
    rng = np.random.default_rng(1)
    rows = np.repeat(8 * rng.normal(size=(3, 5)), 15, axis=0) + rng.normal(size=(45, 5))
    file = tmp_path / "features.npz"
    write_features(file, FeatureTable(rows.astype(np.float32), tuple(f"case-{i}" for i in range(45))), {})
    return file


def test_a_file_gives_a_table_a_verdict_and_three_files(command, features, tmp_path):
    out = tmp_path / "k"
    code, said, progress = command(features, "--out", out, *LITTLE, "clustering.pca_components=3", "seed=5")
    assert code == 0
    assert "All criteria take K = 3." in said
    assert f"written: {out}/select_k.png" in said
    assert progress.splitlines()[-1].startswith("select-k: K = 4 done, 31 of 31 clusterings")
    assert [line.split()[3] for line in progress.splitlines()] == ["1", "2", "3", "4"]
    tree = json.loads((out / "select_k.json").read_text())
    assert (tree["seed"], tree["settings"]["pca_components"], tree["cases"]) == (5, 3, 45)
    assert {file.name for file in out.iterdir()} == {"select_k.json", "select_k.csv", "select_k.png"}
    assert "case-" not in (out / "select_k.json").read_text() + said + progress


def test_a_run_is_asked_with_its_own_settings_on_its_training_cases(command, dcam_run, tmp_path):
    code, said, err = command(dcam_run, "--out", tmp_path / "k", *LITTLE)
    assert code == 0, err
    tree = json.loads((tmp_path / "k" / "select_k.json").read_text())
    assert tree["cases"] == 9
    assert "gap ± s" in said


def test_what_does_not_fit_is_one_line(command, features, tmp_path):
    out = tmp_path / "k"
    for arguments, code, part in [
        (
            [features, "clustering.clusters=4"],
            2,
            "clustering.clusters: here the numbers of clusters are --from 2 --to 10",
        ),
        ([features, "clustering.restart=4"], 2, "did you mean clustering.restarts?"),
        ([features, "--from", "4", "--to", "3"], 2, "--from 4 --to 3"),
        ([features, "--to", "45"], 3, "45 cases: --to 45"),
        ([tmp_path / "none.csv"], 2, "none.csv: no such file"),
        ([tmp_path], 2, "no run here"),
    ]:
        found, said, err = command(*arguments, "--out", out)
        (line,) = err.splitlines()
        assert (found, said) == (code, "") and line.startswith("dcam-dist: ") and part in line


def test_several_processes_are_refused(command, features, tmp_path, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "12345")
    monkeypatch.setattr("os._exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    code, _, err = command(features, "--out", tmp_path / "k")
    assert code == 2 and "select-k is one process" in err


def test_lines_tell_each_number_once_and_the_time_left():
    stream, now = io.StringIO(), [0.0]
    view = Lines(stream, lambda: now[0])
    for done, clusters in ((1, 2), (2, 2), (3, 3), (4, 3)):
        now[0] += 10
        view.fitted(done, 4, clusters)
    assert stream.getvalue().splitlines() == [
        "select-k: K = 2 done, 2 of 4 clusterings, about 30 s left",
        "select-k: K = 3 done, 4 of 4 clusterings",
    ]


def test_a_bar_shows_the_number_in_hand():
    stream = io.StringIO()
    view = Bar(stream, lambda: 0.0)
    view.fitted(3, 9, 7)
    view.tick()
    view.close()
    assert "K = 7" in stream.getvalue() and "3 of 9 clusterings" in stream.getvalue()
    assert isinstance(view_for(io.StringIO()), Lines)
