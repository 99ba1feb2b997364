"""``features``, ``cluster`` and ``assign`` on the command line: what they say, and their errors in one line."""

import csv
import json
import re
import shutil

import pytest
from support.cohorts import damage_case, make_cohort
from support.verbs import call_verb

from dcam_dist.runs import read_artefact, read_features, write_features


@pytest.fixture
def command(monkeypatch, capsys):
    """The command line in this process: exit code, and lines of stdout and stderr."""

    def call(*arguments):
        code, out, err = call_verb(monkeypatch, capsys, *arguments)
        return code or 0, out.splitlines(), err.splitlines()

    return call


@pytest.fixture(scope="module")
def test_features(tmp_path_factory, dcam_run):
    from dcam_dist.analysis import write_run_features

    path = tmp_path_factory.mktemp("features") / "test.safetensors"
    write_run_features(dcam_run, path, split="test")
    return path


@pytest.mark.parametrize(("split", "cases"), [("train", 9), ("test", 4), ("all", 13)])
def test_features_are_written(command, tmp_path, dcam_run, split, cases):
    out = tmp_path / "new" / "f.csv"
    code, told, err = command("features", dcam_run, "--out", out, "--split", split)
    assert (code, told, err) == (0, [f"written: {out}, {cases} cases, 8 channels"], [])
    assert len(read_features(out).case_id_N) == cases


def test_from_a_run_to_clusters_of_its_test_cases(command, tmp_path, dcam_run, test_features):
    saved, table = tmp_path / "clusters", tmp_path / "test.csv"
    code, told, err = command("cluster", dcam_run, "--out", saved, "clustering.clusters=2", "clustering.backend=torch")
    assert (code, err) == (0, [])
    assert told[0] == "space: PCA 4 of scaled lung-pooled features"
    assert told[1].startswith("2 clusters of 9 rows by torch: sizes ")
    assert told[2].startswith("inertia ") and "silhouette" in told[2] and "Davies-Bouldin" in told[2]
    assert told[3].endswith("with 9 training rows no p-value is below 0.1, so none can be found")
    assert told[4].startswith(f"written: {saved} and {saved}/clusters.csv; next: dcam-dist assign {saved} ")
    assert read_artefact(saved).clusters == 2
    code, told, err = command("assign", saved, test_features, "--out", table, "--level", 0.2)
    assert (code, err) == (0, [])
    assert told[0].startswith("4 rows in 2 clusters: ") and told[2] == f"written: {table}"
    with table.open(newline="") as stream:
        assert [row["case_id"] for row in csv.DictReader(stream)] == list(read_features(test_features).case_id_N)


def test_a_run_assigns_too(command, tmp_path, dcam_run, test_features):
    code, told, err = command("assign", dcam_run, test_features, "--out", tmp_path / "c.csv", "--backend", "torch")
    assert (code, err) == (0, [])
    assert told[0].startswith("4 rows in 3 clusters: ")


def test_voxels_are_clustered_instead_of_scans(command, tmp_path, dcam_run):
    out = tmp_path / "patterns"
    code, told, _ = command("cluster", dcam_run, "--out", out, "--features", "voxel", "patterns.clusters=3")
    assert (code, told[1:]) == (0, [f"3 patterns, 3 subtypes: {out}"])
    assert told[0].startswith("patterns: inertia ") and "silhouette" in told[0] and "Davies-Bouldin" in told[0]
    assert read_artefact(out / "patterns").channels == 8
    assert set(json.loads((out / "quality.json").read_text())) >= {"silhouette", "davies_bouldin", "calinski_harabasz"}


def test_new_scans_get_the_subtypes_of_their_patterns(command, tmp_path, dcam_run, small_cohort):
    out, shares, table = tmp_path / "patterns", tmp_path / "shares.safetensors", tmp_path / "subtypes.csv"
    assert command("cluster", dcam_run, "--out", out, "--features", "voxel", "patterns.clusters=3")[0] == 0
    code, told, err = command(
        "features", dcam_run, "--new-scans", small_cohort, "--patterns", out, "--out", shares, "--split", "test"
    )
    assert (code, told, err) == (0, [f"written: {shares}, 4 cases, 3 channels"], [])
    code, _, err = command("assign", out / "subtypes", shares, "--out", table, "--level", "0.2")
    assert (code, err) == (0, [])
    with (out / "subtypes.csv").open(newline="") as stream:
        expected = {row["case_id"]: row["subtype"] for row in csv.DictReader(stream) if row["split"] == "test"}
    with table.open(newline="") as stream:
        assert {row["case_id"]: row["cluster"] for row in csv.DictReader(stream)} == expected


def test_scans_of_another_cohort_are_assigned(command, tmp_path, dcam_run):
    new, features = make_cohort(tmp_path / "new.zarr", 3), tmp_path / "new.npz"
    code, told, _ = command("features", dcam_run, "--new-scans", new, "--out", features)
    assert (code, told) == (0, [f"written: {features}, 3 cases, 8 channels"])
    code, told, _ = command("assign", dcam_run, features, "--out", tmp_path / "c.csv")
    assert code == 0 and told[0].startswith("3 rows in 3 clusters: ")
    code, _, err = command("features", dcam_run, "--cohort", new, "--out", features)
    assert code == 2 and "training split differs" in err[0]
    code, _, err = command("features", dcam_run, "--cohort", new, "--new-scans", new, "--out", features)
    assert code == 2 and err[0].startswith("dcam-dist: --cohort and --new-scans: give one")


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"run_sha256": "0" * 64}, "other run_sha256: features of another run"),
        ({"rows": "shares of lung voxels in texture patterns"}, "shares of lung voxels.*, not lung-pooled features"),
    ],
)
def test_rows_that_say_that_they_are_others_are_refused(command, tmp_path, dcam_run, test_features, about, why):
    path = tmp_path / "f.safetensors"
    write_features(path, read_features(test_features), about)
    code, _, err = command("assign", dcam_run, path, "--out", tmp_path / "c.csv")
    assert code == 3 and len(err) == 1 and re.search(why, err[0])
    assert not (tmp_path / "c.csv").exists()


def test_errors_are_one_line_with_their_exit_code(command, tmp_path, dcam_run, test_features):
    (tmp_path / "broken.npz").write_bytes(b"PK")
    few, out = tmp_path / "few.csv", tmp_path / "c.csv"
    few.write_text("case_id,a\nx,1\n")
    saved = tmp_path / "saved"
    command("cluster", dcam_run, "--out", saved)
    damaged = shutil.copytree(saved, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 100)
    for code, line, *arguments in (
        (2, "no run here", "features", tmp_path, "--out", out),
        (2, "*.safetensors", "features", dcam_run, "--out", tmp_path / "f.pt"),
        (2, "no run here", "cluster", tmp_path / "gone", "--out", tmp_path / "a"),
        (2, "did you mean clustering.clusters", "cluster", few, "--out", tmp_path / "a", "clustering.cluster=3"),
        (3, "1 rows cannot form 6 clusters", "cluster", few, "--out", tmp_path / "a"),
        (3, "no feature file", "cluster", tmp_path / "broken.npz", "--out", tmp_path / "a"),
        (2, "is no clustering; choose another --out", "cluster", dcam_run, "--out", tmp_path),
        (2, "no clustering here", "assign", tmp_path, test_features, "--out", out),
        (3, "model.safetensors is damaged", "assign", damaged, test_features, "--out", out),
        (3, "1 channels", "assign", saved, few, "--out", out),
        (2, "no such file", "assign", saved, tmp_path / "gone.csv", "--out", out),
        (2, "--level 2", "assign", saved, few, "--out", out, "--level", 2),
        (
            4,
            "cuML cannot be used",
            "assign",
            saved,
            test_features,
            "--out",
            out,
            "--backend",
            "cuml",
            "--device",
            "cpu",
        ),
    ):
        found, told, err = command(*arguments)
        assert (found, told, len(err)) == (code, [], 1), (arguments, err)
        assert err[0].startswith("dcam-dist: ") and line in err[0]
    assert not out.exists() and not (tmp_path / "a").exists()


def test_a_damaged_case_is_named(command, tmp_path, dcam_run, small_cohort):
    cohort = shutil.copytree(small_cohort, tmp_path / "c.zarr")
    damage_case(cohort, "case004", "flip")
    code, _, err = command("features", dcam_run, "--out", tmp_path / "f.csv", "--cohort", cohort)
    assert code == 3 and len(err) == 1 and "case004" in err[0] and "--repair" in err[0]
    assert not (tmp_path / "f.csv").exists()
