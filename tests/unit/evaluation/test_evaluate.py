"""``evaluate`` on real, tiny runs: what it writes, and that every figure in it can be found again by other means."""

import csv
import itertools
import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.cohorts import make_cohort, settings

from dcam_dist.cohort import open_cohort, seal_cohort
from dcam_dist.cohort.layout import read_json, write_json
from dcam_dist.config import load_config
from dcam_dist.distributed import open_processes
from dcam_dist.errors import UsageError
from dcam_dist.evaluation import evaluate
from dcam_dist.runs import latest_checkpoint, restore_run, write_checkpoint
from dcam_dist.training import extract_features, train

FILES = ("evaluation.json", "evaluation.md", "clusters.csv")
BASELINES = ["LAA-950 binning", "densitometry k-means"]
GRADES = 6


def trained(cohort, run, **overrides):
    return train(load_config(None, settings(cohort, output=run, training__epochs=1, **overrides))).run


def strict_json(path):
    def refuse(constant):
        raise AssertionError(f"{path} holds {constant}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def cluster_rows(run):
    with (run / "clusters.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def table_row(text, name, split):
    part = text.partition("Test split.")[2 if split == "test" else 0]
    (line,) = [line for line in part.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def run(dcam_run, tmp_path_factory):
    """A copy of the finished run with a head that tells cases apart, which three epochs do not teach; evaluated."""
    copy = shutil.copytree(dcam_run, tmp_path_factory.mktemp("evaluated") / "dcam")
    checkpoint = latest_checkpoint(copy)
    model, generator = checkpoint.clustering, torch.Generator().manual_seed(2)
    weight_KC = torch.randn(3, len(model.mean_C), generator=generator) / torch.from_numpy(model.scale_C)
    head = {"network.head.weight": weight_KC, "network.head.bias": -weight_KC @ torch.from_numpy(model.mean_C)}
    head = {name: value.reshape(checkpoint.engine[name].shape) for name, value in head.items()}
    write_checkpoint(copy, replace(checkpoint, engine={**checkpoint.engine, **head}), keep=1)
    result = evaluate([copy])
    assert result.is_main
    assert result.files == tuple(copy / name for name in FILES)
    return copy


@pytest.fixture(scope="module")
def supervised_run(small_cohort, tmp_path_factory):
    return trained(small_cohort, tmp_path_factory.mktemp("runs") / "supervised", method="supervised")


@pytest.fixture(scope="module")
def outputs(run, small_cohort):
    """By split: case ids, features, head's logits of the finished network, computed without ``evaluate``."""
    restored, cohort = restore_run(run), open_cohort(small_cohort)
    weight, bias = (p.detach().numpy() for p in restored.network.head.parameters())
    found = {}
    with open_processes() as context:
        for split in ("train", "test"):
            ids = tuple(case.case_id for case in cohort.split(split))
            features = extract_features(restored.network, cohort, ids, restored.config.data, context).features_NC
            found[split] = ids, features, features @ weight.reshape(3, -1).T + bias
    return found


def labels(cohort, ids):
    return np.array([open_cohort(cohort).case(case_id).label for case_id in ids])


def test_the_file_says_what_was_evaluated(run):
    tree = strict_json(run / "evaluation.json")
    assert (tree["method"], tree["seed"], tree["epochs"], tree["weights_of_epoch"]) == ("dcam", 0, 3, 3)
    assert (tree["permutations"], tree["bootstrap"]) == (50, 50)
    assert tree["cases"] == {"train": 9, "test": 4}
    assert tree["labels"][0] == "absent" and len(tree["labels"]) == GRADES
    assert {"dcam-dist", "torch", "scikit-learn", "numpy", "zarr"} == tree["versions"].keys()
    assert list(tree["rows"]) == ["dcam", "dcam, head's answer", "dcam, untrained", *BASELINES]


def test_every_row_has_all_scores_on_both_splits(run):
    for name, row in strict_json(run / "evaluation.json")["rows"].items():
        assert not row["supervised"]
        assert len(row["mapping_K"]) == 3
        for split, cases in (("train", 9), ("test", 4)):
            scores = row[split]
            assert scores["n"] == scores["labelled"] == sum(scores["cluster_sizes"]) == cases
            low, high = scores["accuracy_interval"]
            assert 0 <= low <= scores["clustering_accuracy"] <= high <= 1, name
            assert 0 <= scores["null_mean"] <= scores["null_p95"] <= 1
            assert 1 / 51 <= scores["null_p_value"] <= 1
            assert -1 <= scores["weighted_kappa"] <= 1 and 0 <= scores["within_one_grade"] <= 1
            assert scores["majority_share"] == pytest.approx({"train": 2 / 9, "test": 1 / 4}[split])
            assert scores.keys() >= {"silhouette", "davies_bouldin", "adjusted_rand", "nmi"}
        assert row["train"]["silhouette"] is not None


def test_the_rows_differ_in_what_they_were_clustered_from(run):
    rows = strict_json(run / "evaluation.json")["rows"]
    assert rows["dcam"]["space"] == rows["dcam, untrained"]["space"] == "PCA 4 of scaled lung-pooled features"
    assert rows["LAA-950 binning"]["space"] == "LAA-950"
    assert rows["dcam"]["train"]["silhouette"] != rows["dcam, untrained"]["train"]["silhouette"]


def test_the_table_shows_both_splits_and_the_same_figures(run):
    text = (run / "evaluation.md").read_text(encoding="utf-8")
    rows = strict_json(run / "evaluation.json")["rows"]
    assert text.startswith("Train split.") and text.count("Test split.") == 1
    for split, name in itertools.product(("train", "test"), rows):
        cells, scores = table_row(text, name, split), rows[name][split]
        low, high = (100 * bound for bound in scores["accuracy_interval"])
        assert cells[1].replace("*", "") == f"{100 * scores['clustering_accuracy']:.1f} % [{low:.1f}, {high:.1f}]"
        assert cells[2] == f"{100 * scores['null_mean']:.1f} / {100 * scores['null_p95']:.1f} %"
        assert cells[-1] == str(scores["n"])


def test_every_case_has_one_row_in_its_split_and_clusters_count_from_1(run, small_cohort):
    rows, cohort = cluster_rows(run), open_cohort(small_cohort)
    assert list(rows[0]) == ["case_id", "split", "cluster", "head_cluster", "distance"]
    assert Counter(row["case_id"] for row in rows) == Counter(case.case_id for case in cohort.cases)
    assert all(row["split"] == cohort.case(row["case_id"]).split for row in rows)
    assert {row["cluster"] for row in rows} <= {"1", "2", "3"}
    # the closing clustering fills every cluster of the training split
    assert {row["cluster"] for row in rows if row["split"] == "train"} == {"1", "2", "3"}
    sizes = strict_json(run / "evaluation.json")["rows"]["dcam"]
    for split in ("train", "test"):
        counted = Counter(int(row["cluster"]) for row in rows if row["split"] == split)
        assert [counted[number] for number in (1, 2, 3)] == sizes[split]["cluster_sizes"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_case_belongs_to_the_nearest_centroid_of_the_saved_model(run, outputs, split):
    model = restore_run(run).checkpoint.clustering
    ids, features, logits = outputs[split]
    points = ((features - model.mean_C) / model.scale_C) @ model.components_PC.T
    distance_NK = np.sqrt(((points[:, None] - model.centroid_KP) ** 2).sum(axis=2))
    by_case = {row["case_id"]: row for row in cluster_rows(run)}
    assert [int(by_case[case_id]["cluster"]) for case_id in ids] == (distance_NK.argmin(axis=1) + 1).tolist()
    shown = [float(by_case[case_id]["distance"]) for case_id in ids]
    np.testing.assert_allclose(shown, distance_NK.min(axis=1), atol=2e-4)
    assert [int(by_case[case_id]["head_cluster"]) for case_id in ids] == (logits.argmax(axis=1) + 1).tolist()
    assert len(set(logits.argmax(axis=1))) > 1


def test_training_cases_keep_the_clusters_that_training_closed_with(run):
    closing = restore_run(run).checkpoint.assignment.by_case()
    rows = {row["case_id"]: int(row["cluster"]) - 1 for row in cluster_rows(run) if row["split"] == "train"}
    assert rows == closing


@pytest.mark.parametrize(("row", "column"), [("dcam", "cluster"), ("dcam, head's answer", "head_cluster")])
def test_the_matching_is_the_best_on_train_and_held_on_test(run, small_cohort, row, column):
    scores = strict_json(run / "evaluation.json")["rows"][row]
    hits = {}
    for split in ("train", "test"):
        rows = [entry for entry in cluster_rows(run) if entry["split"] == split]
        cluster_N = np.array([int(entry[column]) - 1 for entry in rows])
        label_N = labels(small_cohort, [entry["case_id"] for entry in rows])
        hits[split] = lambda mapping, c=cluster_N, g=label_N: (np.array(mapping)[c] == g).mean()
    best = max(map(hits["train"], itertools.permutations(range(GRADES), 3)))
    mapping = scores["mapping_K"]
    assert len(set(mapping)) == 3
    assert scores["train"]["clustering_accuracy"] == pytest.approx(hits["train"](mapping)) == pytest.approx(best)
    assert scores["test"]["clustering_accuracy"] == pytest.approx(hits["test"](mapping))
    # a matching fitted on test would show
    assert max(map(hits["test"], itertools.permutations(range(GRADES), 3))) > hits["test"](mapping)


def test_evaluating_again_gives_the_same_files(run):
    before = [(run / name).read_bytes() for name in FILES]
    evaluate([run])
    assert [(run / name).read_bytes() for name in FILES] == before


def test_several_runs_are_told_apart_by_folder(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "again")
    result = evaluate([run, other])
    own = [f"{name}{row}" for name in ("dcam", "again") for row in ("", ", head's answer", ", untrained")]
    assert list(result.methods) == [*own, *BASELINES]
    assert result.methods["dcam"].to_dict() == result.methods["again"].to_dict()
    assert result.files == tuple(folder / name for folder in (run, other) for name in FILES)
    # in a run's own folder its rows are named by the method
    assert "again" not in strict_json(other / "evaluation.json")["rows"]


def test_runs_of_one_name_are_refused_before_any_work(run, dcam_run, tmp_path):
    copy = shutil.copytree(dcam_run, tmp_path / "dcam")
    with pytest.raises(UsageError, match=r"two runs are called 'dcam'"):
        evaluate([run, copy])
    assert not (copy / "evaluation.json").exists()


def test_densitometry_rows_of_other_settings_are_not_merged(run, supervised_run, tmp_path):
    # the supervised run has six classes and so six bins; the other three
    copy = shutil.copytree(supervised_run, tmp_path / "supervised")
    result = evaluate([run, copy])
    shared = [name for name in result.methods if name.endswith(tuple(BASELINES))]
    assert shared == [f"{name}, {row}" for row in BASELINES for name in ("dcam", "supervised")]
    assert len(result.methods["dcam, LAA-950 binning"].train.cluster_sizes) == 3
    assert len(result.methods["supervised, LAA-950 binning"].train.cluster_sizes) == GRADES


def test_a_supervised_run_is_scored_without_a_matching(supervised_run, small_cohort, tmp_path):
    run = shutil.copytree(supervised_run, tmp_path / "supervised")
    result = evaluate([run])
    assert list(result.methods) == ["supervised", *BASELINES]
    scores = strict_json(run / "evaluation.json")["rows"]["supervised"]
    assert scores["supervised"] and scores["mapping_K"] == list(range(GRADES)) and scores["space"] == "none"
    rows = cluster_rows(run)
    assert [row["cluster"] for row in rows] == [row["head_cluster"] for row in rows]
    assert {row["distance"] for row in rows} == {"nan"}
    for split in ("train", "test"):
        assert scores[split]["silhouette"] is scores[split]["davies_bouldin"] is None
        own = [row for row in rows if row["split"] == split]
        answer_N = np.array([int(row["cluster"]) for row in own])  # grades count from 0, as on their scale
        hits = answer_N == labels(small_cohort, [row["case_id"] for row in own])
        assert scores[split]["clustering_accuracy"] == pytest.approx(hits.mean())


def test_without_labels_there_are_internal_scores_alone(unlabelled_cohort, tmp_path):
    run = trained(unlabelled_cohort, tmp_path / "r")
    evaluate([run])
    rows = strict_json(run / "evaluation.json")["rows"]
    assert list(rows) == ["dcam", "dcam, head's answer", "dcam, untrained", *BASELINES]
    internal = {"n", "labelled", "cluster_sizes", "silhouette", "davies_bouldin"}
    for row in rows.values():
        assert row["mapping_K"] is None
        for split, cases in (("train", 6), ("test", 3)):
            assert (row[split]["n"], row[split]["labelled"]) == (cases, 0)
            assert all(value is None for name, value in row[split].items() if name not in internal)
    assert -1 <= rows["dcam"]["train"]["silhouette"] <= 1
    text = (run / "evaluation.md").read_text(encoding="utf-8")
    assert "Majority share" not in text
    assert "ACC" not in text and table_row(text, "dcam", "test")[-1] == "3"
    assert text.count("no labels to fit and score a matching on, so no accuracy.") == 2


def test_without_test_cases_the_training_split_is_scored(tmp_path):
    run = trained(make_cohort(tmp_path / "c.zarr", 6, tested=False), tmp_path / "r")
    evaluate([run])
    tree = strict_json(run / "evaluation.json")
    assert tree["cases"] == {"train": 6, "test": 0}
    for row in tree["rows"].values():
        assert row["train"]["clustering_accuracy"] is not None
        assert (row["test"]["n"], row["test"]["clustering_accuracy"], row["test"]["silhouette"]) == (0, None, None)
    assert [row["split"] for row in cluster_rows(run)] == ["train"] * 6


def test_features_before_the_last_relu_are_clustered_and_the_head_answers_after_it(small_cohort, tmp_path):
    run = trained(small_cohort, tmp_path / "r", training__last_relu=False)
    evaluate([run])
    restored, cohort = restore_run(run), open_cohort(small_cohort)
    ids = [case.case_id for case in cohort.split("test")]
    features = {}
    with open_processes() as context:
        for relu in (False, True):
            table = extract_features(restored.network, cohort, ids, restored.config.data, context, last_relu=relu)
            features[relu] = table.features_NC
    assert features[False].min() < 0 <= features[True].min()
    rows = {row["case_id"]: row for row in cluster_rows(run)}
    weight, bias = (parameter.detach().numpy() for parameter in restored.network.head.parameters())
    answer_N = (features[True] @ weight.reshape(3, -1).T + bias).argmax(axis=1)
    assert [int(rows[case_id]["head_cluster"]) - 1 for case_id in ids] == answer_N.tolist()
    assert [int(rows[case_id]["cluster"]) - 1 for case_id in ids] == restored.checkpoint.clustering.assign(
        features[False]
    ).tolist()


def test_a_cohort_that_moved_gives_the_same_figures(run, small_cohort, tmp_path):
    copy = shutil.copytree(run, tmp_path / "dcam")
    for name in FILES:
        (copy / name).unlink()
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace(str(small_cohort), "/gone/cohort.zarr"))
    with pytest.raises(UsageError, match=r"/gone/cohort\.zarr: no cohort here"):
        evaluate([copy])
    evaluate([copy], cohort=small_cohort)
    assert [(copy / name).read_bytes() for name in FILES] == [(run / name).read_bytes() for name in FILES]


def test_another_cohort_in_its_place_is_refused(run, tmp_path):
    other = make_cohort(tmp_path / "other.zarr", 3, shape=(16, 16, 16))
    with pytest.raises(UsageError, match="another grid or label set"):
        evaluate([run], cohort=other)


def test_a_cohort_with_labels_of_its_own_is_clustered_and_scored_by_them(tmp_path):
    """Clustering asks for no label set, so neither may its evaluation."""
    cohort = make_cohort(tmp_path / "c.zarr", 6, tested=False)
    rename_labels(cohort, ["none", "mild", "severe"])
    run = trained(cohort, tmp_path / "r")
    evaluate([run])
    tree = strict_json(run / "evaluation.json")
    assert tree["labels"] == ["none", "mild", "severe"]
    assert sorted(tree["rows"]["dcam"]["mapping_K"]) == [0, 1, 2]


def rename_labels(cohort, names):
    root = read_json(cohort / "zarr.json")
    root["attributes"]["dcam_dist"]["label_names"] = names
    write_json(cohort / "zarr.json", root)
    table = read_json(cohort / "cases.json")
    write_json(cohort / "cases.json", [{**case, "label": case["label"] % len(names)} for case in table])
    seal_cohort(cohort)
