"""From features to a saved clustering and from there to new rows, through real files."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from support.clusterings import Population, make_artefact

from dcam_dist.analysis import assign, assign_rows, cluster, cluster_config, run_features
from dcam_dist.config import Config
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.metrics import adjusted_rand
from dcam_dist.runs import read_artefact, restore_run, write_artefact, write_features
from dcam_dist.types import FeatureTable

TRAIN, NEW = Population.of(0).rows(300, 0), Population.of(0).rows(100, 1)
CONFIG = Config(clustering=ClusteringConfig(restarts=2))


def table_of(rows):
    return FeatureTable(rows, tuple(f"case{row:03d}" for row in range(len(rows))))


def written(path, rows):
    write_features(path, table_of(rows), {})
    return path


def lines(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def train_file(tmp_path_factory):
    return written(tmp_path_factory.mktemp("features") / "train.npz", TRAIN)


@pytest.fixture(scope="module", params=["sklearn", "torch"])
def saved(request, tmp_path_factory, train_file):
    """A clustering by each backend that runs without a GPU."""
    out = tmp_path_factory.mktemp("clusterings") / request.param
    settings = CONFIG.clustering.model_copy(update={"backend": request.param})
    return out, cluster(train_file, out, CONFIG.model_copy(update={"clustering": settings}))


def test_a_file_is_clustered_and_saved(saved):
    out, made = saved
    kept, rows = read_artefact(out), lines(out / "clusters.csv")
    assert (kept.backend, kept.rows, kept.new_id_K) == (out.name, "features of a file", None)
    assert list(rows[0]) == ["case_id", "cluster", "distance", "margin", "p_value", "outlier"]
    assert [row["case_id"] for row in rows] == list(table_of(TRAIN).case_id_N)
    cluster_N = np.array([int(row["cluster"]) for row in rows])
    assert np.bincount(cluster_N, minlength=7)[1:].tolist() == kept.size_K.tolist() and kept.size_K.sum() == 300
    np.testing.assert_array_equal(cluster_N - 1, kept.model.assign(TRAIN))
    distance_N = np.array([float(row["distance"]) for row in rows])
    assert np.square(distance_N).sum() == pytest.approx(kept.inertia, rel=1e-4)
    flagged = [float(row["p_value"]) for row in rows if row["outlier"] == "1"]
    assert len(flagged) == 3 and max(flagged) <= 0.01  # 1 in 100
    assert f"by {out.name}: sizes {'/'.join(map(str, kept.size_K))}" in made.lines()[1]
    assert made.lines()[3] == "outliers: 3 of 300 at level 0.01"


def test_the_same_again_is_the_same(saved, train_file, tmp_path):
    out, made = saved
    config = CONFIG.model_copy(update={"clustering": made.artefact.settings})
    cluster(train_file, tmp_path / "again", config)
    for name in ("model.safetensors", "artefact.json", "clusters.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize("backend", ["sklearn", "torch"])
def test_the_rows_that_it_was_made_of_get_their_clusters_back(saved, train_file, tmp_path, backend):
    out, _ = saved
    assign(out, train_file, tmp_path / "c.csv", backend=backend, device="cpu")
    for one, other in zip(lines(out / "clusters.csv"), lines(tmp_path / "c.csv"), strict=True):
        assert [one[name] for name in ("case_id", "cluster", "distance")] == [
            other[name] for name in ("case_id", "cluster", "distance")
        ]


def test_every_backend_writes_the_same_table(saved, tmp_path):
    features = written(tmp_path / "new.safetensors", np.concatenate([NEW, NEW + 30]))
    files = [tmp_path / f"{backend}.csv" for backend in ("auto", "sklearn", "torch")]
    for file in files:
        done = assign(saved[0], features, file, backend=file.stem, device="cpu", level=0.05)
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()
    flagged = np.array([row["outlier"] == "1" for row in lines(files[0])])
    assert flagged[100:].all() and flagged[:100].mean() < 0.15
    assert done.lines()[1] == f"outliers: {flagged.sum()} of 200 at level 0.05"


def test_few_training_rows_cannot_flag_and_it_says_so(tmp_path):
    done = assign_rows(make_artefact(TRAIN[:40]), table_of(NEW + 30))
    assert not done.flagged.any()
    assert done.outliers_in_words() == (
        "outliers: 0 of 100 at level 0.01; with 40 training rows no p-value is below 0.0244, so none can be found"
    )
    assert assign_rows(make_artefact(TRAIN[:40]), table_of(NEW + 30), level=0.05).flagged.all()


def test_a_clustering_without_a_rule_says_that_outliers_are_not_known(tmp_path):
    write_artefact(tmp_path / "a", replace(make_artefact(), outliers=None))
    done = assign(tmp_path / "a", written(tmp_path / "new.csv", NEW), tmp_path / "c.csv")
    assert "not known" in done.lines()[1]
    assert {(row["p_value"], row["outlier"]) for row in lines(tmp_path / "c.csv")} == {("", "")}


def test_a_run_is_clustered_under_the_ids_of_its_own_clusters(dcam_run, tmp_path):
    config = cluster_config(dcam_run, None, ["seed=5", "clustering.restarts=3"])
    assert (config.clustering.clusters, config.clustering.pca_components, config.seed) == (3, 4, 5)  # the run's
    made = cluster(dcam_run, tmp_path / "a", config)
    run = restore_run(dcam_run)
    assert made.table.case_id_N == run.assignment.case_id_N
    assert adjusted_rand(made.table.placed.label_N, run.assignment.label_N) > 0.9
    agree = (made.table.placed.label_N == run.assignment.label_N).mean()
    assert agree > 0.9 and made.artefact.new_id_K is not None
    assert "ids matched to the run's" in made.lines()[1]
    assert read_artefact(tmp_path / "a").source.keys() == {"kind", "run_sha256", "cohort_seal"}
    other = cluster(dcam_run, tmp_path / "b", cluster_config(dcam_run, None, ["clustering.clusters=4"]))
    assert other.artefact.new_id_K is None and other.artefact.clusters == 4


def test_a_run_assigns_its_own_cases_as_its_closing_clustering_did(dcam_run, tmp_path):
    write_features(tmp_path / "f.csv", run_features(dcam_run, split="train"), {})
    assign(dcam_run, tmp_path / "f.csv", tmp_path / "c.csv")
    known = restore_run(dcam_run).assignment.by_case()
    assert {row["case_id"]: int(row["cluster"]) - 1 for row in lines(tmp_path / "c.csv")} == known


def test_what_cannot_be_assigned(saved, train_file, dcam_run, tmp_path):
    few = written(tmp_path / "few.csv", TRAIN[:, :5])
    out = tmp_path / "c.csv"
    for source, features, options, kind, line in (
        (saved[0], few, {}, DataError, f"{few}: 5 channels, {saved[0]} was made of rows of 64"),
        (saved[0], tmp_path / "gone.csv", {}, UsageError, "no such file"),
        (tmp_path / "gone", few, {}, UsageError, "no clustering here"),
        (saved[0], train_file, {"level": 0.0}, UsageError, "--level 0"),
        (saved[0], train_file, {"backend": "torch", "device": "tpu"}, UsageError, "--device 'tpu'"),
        (saved[0], train_file, {"backend": "torch", "device": "cuda:x"}, UsageError, "--device 'cuda:x'"),
        (saved[0], train_file, {"backend": "torch", "device": "cuda:99"}, EnvironmentFault, "CUDA devices"),
        (saved[0], train_file, {"backend": "cuml", "device": "cpu"}, EnvironmentFault, "cuML cannot be used"),
    ):
        with pytest.raises(kind) as caught:
            assign(source, features, out, **options)
        assert line in str(caught.value)
    assert not out.exists()


def test_what_cannot_be_clustered(train_file, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    small = written(tmp_path / "small.csv", TRAIN[:4])
    for source, out, kind, line in (
        (train_file, tmp_path / "notes", UsageError, "is no clustering"),
        (small, tmp_path / "a", DataError, "4 "),
        (tmp_path / "gone", tmp_path / "a", UsageError, "no run here"),
        (tmp_path / "gone.npz", tmp_path / "a", UsageError, "no such file"),
    ):
        with pytest.raises(kind) as caught:
            cluster(source, out, CONFIG)
        assert line in str(caught.value)
    assert not (tmp_path / "a").exists() and (tmp_path / "notes" / "mine.txt").exists()
