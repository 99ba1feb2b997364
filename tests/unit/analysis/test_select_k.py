"""How many clusters: what the criteria take on groups, on a cloud and on odd features, and what is left on the disk."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from dcam_dist.analysis import Effort, choices, figures_over_k, select_k, verdict
from dcam_dist.analysis.k_choice import CRITERIA
from dcam_dist.analysis.k_files import COLUMNS, as_tree, write_selection
from dcam_dist.analysis.select_k_figure import draw_selection
from dcam_dist.config import load_config
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError, UsageError

SETTINGS = ClusteringConfig(pca_components=4, restarts=3)
LITTLE = Effort(seeds=3, resamples=6, references=5)


def groups(count, each=25, channels=6, seed=1):
    rng = np.random.default_rng(seed)
    centres = 8 * rng.normal(size=(count, channels))
    return (np.repeat(centres, each, axis=0) + rng.normal(size=(count * each, channels))).astype(np.float32)


def found(features, last=5, settings=SETTINGS, **options):
    return figures_over_k(features, settings, last=last, **{"effort": LITTLE, **options})


@pytest.fixture(scope="module")
def three():
    return found(groups(3))


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(0)
    stretched = rng.normal(size=(200, 1)) @ rng.normal(size=(1, 6)) * 2 + rng.normal(size=(200, 6))
    return found(stretched.astype(np.float32))


def test_on_groups_all_criteria_agree(three):
    assert choices(three) == dict.fromkeys(CRITERIA, 3)
    assert verdict(three) == ("All criteria take K = 3.",)


def test_on_a_cloud_the_gap_says_that_there_is_one_and_the_verdict_does_not_hide_it(cloud):
    taken = choices(cloud)
    assert taken["gap"] == 1 and taken["silhouette"] == 2
    told = " ".join(verdict(cloud))
    assert told.startswith("The criteria disagree (K = 1: gap statistic; K = 2: ")
    assert "do not settle the number of clusters" in told and "no more structure than in a uniform cloud" in told


def test_a_gap_that_rises_a_range_that_ends_and_clusters_that_dissolve_are_told(three):
    rising = replace(three, figures=three.figures[:2])
    assert choices(rising) == {**dict.fromkeys(CRITERIA, 3), "gap": None}
    assert verdict(rising) == (
        "All the others take K = 3; none: gap statistic.",
        "The gap still rises at K = 3.",
        "K = 3 is the end of the range: look beyond it with --to.",
    )
    weak = replace(three.figures[1].stability, jaccard_RK=np.full((6, 3), 0.5))
    weakened = replace(three, figures=(three.figures[0], replace(three.figures[1], stability=weak), *three.figures[2:]))
    assert verdict(weakened)[1] == "With K = 3 at least one cluster dissolves on resamples (Jaccard below 0.6)."


@pytest.mark.parametrize(("medians", "taken"), [([0.9, 0.9, 0.895, 0.88], 4), ([0.99, 1, 0.9, 0.9], 3)])
def test_of_equally_stable_numbers_the_largest_is_taken(three, medians, taken):
    def with_median(one, median):
        return replace(one, stability=replace(one.stability, resample_ari_R=np.full(6, median)))

    made = replace(three, figures=tuple(map(with_median, three.figures, medians)))
    assert choices(made)["stability"] == taken


def test_the_scores_are_those_of_the_reference_clustering(three):
    for one in three.figures:
        again = one.stability
        points = again.reference.model.project(groups(3)).astype(float)
        assert one.silhouette == pytest.approx(silhouette_score(points, again.label_N), rel=1e-6)
        assert one.davies_bouldin == pytest.approx(davies_bouldin_score(points, again.label_N), rel=1e-6)
        assert one.calinski_harabasz == pytest.approx(calinski_harabasz_score(points, again.label_N), rel=1e-6)
        assert one.gap.log_dispersion == pytest.approx(np.log(again.reference.inertia))


def test_features_with_fewer_distinct_rows_than_clusters_take_what_there_is(recwarn):
    features = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    selection = found(features)
    assert choices(selection) == dict.fromkeys(CRITERIA, 3)
    row = as_tree(selection)["rows"][3]
    assert (row["clusters"], row["gap"], row["smallest_cluster"]) == (4, None, 0)
    assert draw_selection(selection)[:4] == b"\x89PNG"
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_the_files_say_the_same_and_are_the_same_each_time(three, tmp_path):
    files = write_selection(three, tmp_path / "new")
    assert [file.name for file in files] == ["select_k.json", "select_k.csv", "select_k.png"]
    tree = json.loads(files[0].read_text(encoding="utf-8"))
    rows = list(csv.DictReader(files[1].open(encoding="utf-8")))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["clusters"]) for row in rows] == [row["clusters"] for row in tree["rows"]] == [1, 2, 3, 4, 5]
    assert rows[0]["silhouette"] == "" and float(rows[2]["silhouette"]) == tree["rows"][2]["silhouette"]
    assert tree["choices"] == choices(three) and tree["rows"][2]["cluster_sizes"] == [25, 25, 25]
    assert "clusters" not in tree["settings"] and tree["settings"]["pca_components"] == 4
    assert Image.open(io.BytesIO(files[2].read_bytes())).width >= 1500
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in write_selection(found(groups(3)), tmp_path / "new")] == before


def test_another_seed_draws_otherwise(three):
    assert [one.gap for one in found(groups(3), seed=1).gaps] != [one.gap for one in three.gaps]


def test_every_clustering_is_told():
    told = []
    found(groups(2), last=3, progress=lambda *state: told.append(state))
    assert [done for done, _, _ in told] == list(range(1, 6 + 2 * LITTLE.clusterings + 1))
    assert {total for _, total, _ in told} == {len(told)}
    assert [clusters for _, _, clusters in told] == sorted(clusters for _, _, clusters in told)


def test_a_range_that_begins_higher_asks_about_no_single_cluster():
    selection = found(groups(4), first=3)
    assert selection.gap_of_one is None and [one.clusters for one in selection.figures] == [3, 4, 5]
    assert choices(selection)["gap"] == 4


def test_the_picture_shows_what_is_taken_of_many_numbers():
    selection = found(groups(3, each=20), last=14, effort=Effort(seeds=2, resamples=2, references=2))
    assert draw_selection(selection)[:4] == b"\x89PNG"


@pytest.mark.parametrize(("first", "last"), [(1, 4), (5, 4), (4, 4)])
def test_a_range_that_is_none_is_refused_before_anything_is_read(first, last, tmp_path):
    with pytest.raises(UsageError, match=f"--from {first} --to {last}"):
        select_k(tmp_path / "none.csv", tmp_path / "out", load_config(), first=first, last=last)
    assert not (tmp_path / "out").exists()


def test_no_more_cases_than_clusters_or_cases_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="10 cases: --to 10 needs more of them than clusters"):
        found(groups(2, each=5), last=10)
    with pytest.raises(DataError, match="the same features"):
        found(np.ones((20, 3), np.float32))
