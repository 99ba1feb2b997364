"""``features`` and ``cluster`` on two ranks: the same clusters as on one, written once, and one line where it fails."""

import shutil

import numpy as np
import pytest
from support.clusterings import Population
from support.processes import dcam_dist, torchrun

from dcam_dist.runs import read_artefact, read_features, write_features
from dcam_dist.types import FeatureTable

pytestmark = pytest.mark.distributed
SETTINGS = ("clustering.backend=torch", "clustering.restarts=2", "seed=3")


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Of 301 cases: two ranks have different numbers of them."""
    path = tmp_path_factory.mktemp("features") / "f.npz"
    rows = Population.of(0).rows(301, 0)
    write_features(path, FeatureTable(rows, tuple(f"case{row}" for row in range(len(rows)))), {})
    return path


def on_two_ranks(*arguments):
    return torchrun(2, ["-m", "dcam_dist", *map(str, arguments)])


def test_two_ranks_make_the_clusters_of_one(features, tmp_path):
    alone = dcam_dist("cluster", features, "--out", tmp_path / "1", *SETTINGS)
    both = on_two_ranks("cluster", features, "--out", tmp_path / "2", *SETTINGS)
    assert (alone.returncode, both.returncode) == (0, 0), both.stderr
    assert both.stdout.replace(f"{tmp_path}/2", f"{tmp_path}/1") == alone.stdout
    one, two = (read_artefact(tmp_path / ranks) for ranks in "12")
    np.testing.assert_allclose(one.model.centroid_KP, two.model.centroid_KP, atol=1e-6)
    assert one.size_K.tolist() == two.size_K.tolist()
    tables = [(tmp_path / ranks / "clusters.csv").read_text().splitlines() for ranks in "12"]
    assert [line.split(",")[:2] for line in tables[0]] == [line.split(",")[:2] for line in tables[1]]


def test_two_ranks_write_the_features_of_one(dcam_run, tmp_path):
    both = on_two_ranks("features", dcam_run, "--out", tmp_path / "f.npz")
    assert both.returncode == 0, both.stderr
    assert both.stdout.splitlines() == [f"written: {tmp_path / 'f.npz'}, 13 cases, 8 channels"]
    assert dcam_dist("features", dcam_run, "--out", tmp_path / "g.npz").returncode == 0
    one, two = read_features(tmp_path / "g.npz"), read_features(tmp_path / "f.npz")
    assert one.case_id_N == two.case_id_N
    np.testing.assert_allclose(one.features_NC, two.features_NC, atol=1e-6)


def test_what_rank_0_cannot_write_is_told_once(features, tmp_path):
    (tmp_path / "file").write_text("")
    ended = on_two_ranks("cluster", features, "--out", tmp_path / "file" / "a")
    told = [line for line in ended.stderr.splitlines() if line.startswith("dcam-dist: ")]
    assert ended.returncode != 0 and len(told) == 1, ended.stderr
    assert str(tmp_path / "file") in told[0]


@pytest.mark.parametrize("other", ["missing", "another"])
def test_a_file_that_is_not_the_same_on_all_ranks_is_told_once(features, tmp_path, other):
    folders = [tmp_path / rank for rank in "01"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(features, folder / "f.npz")
    if other == "missing":
        (folders[1] / "f.npz").unlink()
    else:
        write_features(folders[1] / "f.npz", FeatureTable(Population.of(0).rows(9, 2), tuple("abcdefghi")), {})
    command = ["cluster", "f.npz", "--out", str(tmp_path / "out"), *SETTINGS]
    ended = torchrun(2, ["tests/support/elsewhere_jobs.py", *map(str, folders), "--", *command])
    told = [line for line in ended.stderr.splitlines() if line.startswith("dcam-dist: ")]
    assert ended.returncode != 0 and len(told) == 1, ended.stderr
    assert ("no such file" if other == "missing" else "different files under the name f.npz") in told[0]
    assert not (tmp_path / "out").exists()


def test_rank_0_tells_its_own_fault_though_the_others_have_left_with_it(tmp_path):
    ended = torchrun(2, ["tests/support/telling_jobs.py", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["EnvironmentFault 4 tells", "FailedElsewhere 4 tells"]


def test_a_problem_is_told_before_the_launcher_stops_who_tells_it():
    ended = torchrun(2, ["tests/support/leaving_jobs.py"])
    told = [line for line in ended.stderr.splitlines() if line.startswith("dcam-dist: ")]
    assert told == ["dcam-dist: rank 1: f.npz: damaged"], ended.stderr
