"""The numbers behind the sections."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from support.reports import made_up_study

from dcam_dist.clustering.model import centroid_distances
from dcam_dist.config.schema import ClusteringConfig, Config, Section
from dcam_dist.evaluation.scoring import ClusteredSplits, score
from dcam_dist.report import svg
from dcam_dist.report.case_data import inert_json
from dcam_dist.report.curves import charts
from dcam_dist.report.differences import against_others, by_source, differences
from dcam_dist.report.elsewhere import read_findings
from dcam_dist.report.placing import Placed, choose_shown, margins
from dcam_dist.report.regions import REGIONS, mean_shares, region_masks
from dcam_dist.report.reproduction import without_paths
from dcam_dist.report.scatter import planes
from dcam_dist.report.scores import split_tables
from dcam_dist.report.steadiness import steadiness
from dcam_dist.report.variables import Variable, Variables, variables_of
from dcam_dist.report.variables import column as column_of
from dcam_dist.runs.changes import leaves


def test_margins_are_0_between_two_centroids_and_1_on_ones_own():
    far_NK = centroid_distances(
        np.array([[0.0], [5.0], [2.5], [9.0]], np.float32), np.array([[0.0], [10.0]], np.float32)
    )
    found = margins(far_NK, np.array([0, 0, 0, 1]), relative=True)
    np.testing.assert_allclose(found, [1.0, 0.0, 1 - 2.5 / 7.5, 1 - 1 / 9], atol=1e-6)


def test_typical_cases_are_near_and_borderline_ones_between():
    points = np.array([[0.0], [1.0], [2.0], [3.0], [4.9], [4.0], [10.0]], np.float32)
    far_NK, class_N = centroid_distances(points, np.array([[0.0], [10.0]], np.float32)), np.array([0, 0, 0, 0, 0, 0, 1])
    ids = tuple("abcdefg")
    first, second = choose_shown(Placed(ids, class_N, points, points, far_NK, margins(far_NK, class_N, relative=True)))
    assert (first.typical, first.borderline) == (("a", "b", "c"), ("e", "f"))
    assert (second.typical, second.borderline) == (("g",), ())


def column(name, texts):
    """Each case is of a patient of its own."""
    return column_of(name, texts, [f"p{row}" for row in range(len(texts))])


def test_columns_are_numbers_or_categories_or_neither():
    assert column("age", [str(n) for n in range(40, 60)])[0].numeric
    assert not column("sex", ["F", "M"] * 4)[0].numeric
    assert "look like names" in column("said", [f"Somebody {n}" for n in range(30)])[1]
    assert "dates" in column("born", [f"19{n}-03-01" for n in range(40, 60)])[1]
    assert column("nothing", ["", ""])[0] is None
    assert np.isnan(column("age", ["", *map(str, range(9))])[0].values_N[0])
    rare = column("gold", ["1"] * 9 + ["2"] * 9 + ["Rare"])[0]
    assert "Rare" in rare.values_N and "Rare" not in rare.shown_N


def test_levels_of_one_case_each_are_tested_and_not_named():
    gold = column("gold", ["a", "b", "c", "d"] * 2 + ["e", "f", "g", "h"] * 2)[0]
    (found,) = differences([gold], np.repeat([0, 1], 8), 2)
    assert found.test.note == "" and found.test.size == 1.0 and found.said.endswith("; too few to tell")
    assert found.cells[0] == ("(other) 8", "")


def test_a_column_of_names_is_left_out_and_said_so():
    study = made_up_study(40)
    cases = [
        type(c)(**{**vars(c), "covariates": {**c.covariates, "remark": f"Mrs {row}"}})
        for row, c in enumerate(study.cases)
    ]
    found = variables_of(cases)
    assert [name.split(" (")[0] for name in found.left_out] == ["remark"]
    assert [one.title for one in found.covariates] == ["age", "sex"]
    assert [one.title for one in found.acquisition] == ["kernel", "distance of slices", "pixel spacing"]


def test_a_planted_difference_has_a_small_q_and_noise_has_not():
    rng, cluster_N = np.random.default_rng(0), np.repeat([0, 1, 2], 30)
    planted = Variable("laa", "%", 1, cluster_N * 3.0 + rng.normal(0, 1, 90))
    noise = [Variable(f"noise {k}", "", 1, rng.normal(0, 1, 90)) for k in range(5)]
    first, *others = differences([planted, *noise], cluster_N, 3)
    assert first.q_value < 1e-6 and min(one.q_value for one in others) > 0.01
    assert first.cells[0] == (f"{np.median(planted.values_N[:30]):.1f}".replace("-", "−"), first.cells[0][1])
    beside = against_others(first, cluster_N, 2)
    assert (beside.side, beside.title, beside.q_value) == (1, "laa, %", first.q_value)
    assert against_others(first, cluster_N, 0).side == -1
    (tied,) = differences([Variable("age", "", 0, np.array([60.0, 60.0, 61.0] * 30))], cluster_N, 3)
    assert against_others(tied, cluster_N, 1).side == 0


def test_what_two_patients_have_is_not_shown_of_their_cluster():
    cluster_N = np.array([0, 0, *[1] * 20])
    age, sex = column("age", [str(n) for n in range(40, 62)])[0], column("sex", ["F", "F", *["M"] * 20])[0]
    laa = Variable("laa", "", 0, np.arange(22.0))
    found = differences([age, sex, laa], cluster_N, 2)
    assert [one.cells[0][0] for one in found] == ["–", "–", "0"] and found[1].cells[1][0] == "M 20"
    assert [against_others(one, cluster_N, 0).own[0] for one in found] == ["–", "–", "0"]


def test_densitometry_lends_covariates_no_rate():
    rng, cluster_N = np.random.default_rng(0), np.repeat([0, 1, 2], 30)
    measured = tuple(Variable(f"laa{k}", "%", 1, cluster_N * 3.0 + rng.normal(0, 1, 90)) for k in range(20))
    noise = tuple(Variable(f"noise {k}", "", 1, rng.normal(0, 1, 90)) for k in range(4))
    found = by_source(Variables(measured, noise, (), ()), cluster_N, 3)
    assert [one.variable for one in found] == [*measured, *noise]
    apart = differences(noise, cluster_N, 3)
    assert [one.q_value for one in found[20:]] == [one.q_value for one in apart]
    assert min(one.q_value for one in found[20:]) >= min(one.test.p_value for one in apart) * 1.3


def test_names_of_one_patient_s_scans_are_left_out():
    cases = made_up_study(18).cases
    cases = [
        replace(case, patient_key=f"p{row // 3}", covariates={**case.covariates, "who": f"Name{row // 3}"})
        for row, case in enumerate(cases)
    ]
    assert "who" in [name.split(" (")[0] for name in variables_of(cases).left_out]


@pytest.mark.parametrize(("end", "starts"), [(27, [3, 11, 19]), (28, [3, 11, 20])])
def test_regions_part_the_lungs_and_a_slice_goes_by_its_centre(end, starts):
    lungs = np.zeros((30, 40, 40), bool)
    lungs[3:end, 5:35, 5:35] = True
    masks = region_masks(lungs, (5.0, 4.0, 4.0))
    assert (masks["upper"] | masks["middle"] | masks["lower"] == lungs).all()
    assert (masks["core"] | masks["peel"] == lungs).all() and not (masks["core"] & masks["peel"]).any()
    found = [int(np.flatnonzero(masks[name].any(axis=(1, 2)))[0]) for name in ("lower", "middle", "upper")]
    assert found == starts
    assert masks["core"][15, 20, 20] and masks["peel"][15, 5, 20]


def test_shares_are_means_over_the_cases_that_have_the_region():
    one = dict.fromkeys(REGIONS, (0.2, 1.0))
    other = {**dict.fromkeys(REGIONS, (0.4, 0.0)), "core": (float("nan"), float("nan"))}
    found = {share.region: (share.probability, share.winning) for share in mean_shares([one, other])}
    assert found["upper"] == pytest.approx((0.3, 0.5)) and found["core"] == pytest.approx((0.2, 1.0))
    assert mean_shares([]) == ()


def test_clusters_far_apart_come_again_and_noise_does_not():
    rng = np.random.default_rng(0)
    class_N = np.repeat([0, 1, 2], 20)
    apart = (rng.normal(0, 40, (3, 5))[class_N] + rng.normal(0, 0.5, (60, 5))).astype(np.float32)
    settings = ClusteringConfig(clusters=3, pca_components=3, restarts=2)
    found = steadiness(apart, np.array([2, 0, 1])[class_N], settings, seed=0)
    assert found.jaccard_K.min() > 0.99 and found.again == 1.0 and found.over_resamples.median == 1.0
    noise = steadiness(rng.normal(0, 1, (60, 5)).astype(np.float32), class_N, settings, seed=0)
    assert noise.over_resamples.median < 0.6 and noise.again < 0.3


def test_planes_do_not_change_with_the_order_of_axes_and_say_why_one_is_missing():
    points = np.random.default_rng(1).normal(0, [5, 1, 0.1], (8, 3)).astype(np.float32)
    (only,), why = planes(points, 0)
    assert only.key == "pca" and "10 cases" in why
    np.testing.assert_allclose(np.abs(only.points_N2[:, 0]), np.abs(points[:, 0] - points[:, 0].mean()), atol=1.0)
    assert only.axes[0].startswith("axis 1 (9")
    (turned,), _ = planes(points[:, [2, 0, 1]], 0)
    np.testing.assert_allclose(turned.points_N2, only.points_N2, atol=1e-4)
    assert turned.axes == only.axes


def evaluated(labelled=True):
    rng = np.random.default_rng(0)
    ids = [rng.integers(3, size=n) for n in (30, 12)]
    labels = [k if labelled else np.full_like(k, -100) for k in ids]
    points = [np.eye(3)[k] + rng.normal(0, 0.1, (len(k), 3)) for k in ids]
    splits = ClusteredSplits(ids[0], labels[0], ids[1], labels[1], *points, "PCA 3")
    rules = {"permutations": 20, "bootstrap": 20, "silhouette_cases": 100, "seed": 0}
    return score(splits, clusters=3, labels=("a", "b", "c"), **rules)


def test_the_test_split_comes_first_and_without_labels_there_is_no_forest():
    first, second = split_tables({"dcam": evaluated()})
    assert (first.split, second.split) == ("test", "train") and "dcam" in first.forest
    assert split_tables({"dcam": evaluated(labelled=False)})[0].forest is None


def test_curves_draw_what_was_told_and_pass_over_what_was_not():
    lines = [{"epoch": e, "loss": 2.0 - e, "nmi_previous": None, "cluster_sizes": [3, 4]} for e in range(3)]
    lines += [{"epoch": 2, "loss": 0.5, "silhouette": float("nan"), "cluster_sizes": "broken"}]
    drawn = {chart.title: str(chart.picture) for chart in charts(lines, ("cluster 1", "cluster 2"))}
    assert list(drawn) == ["Loss", "Cluster sizes"]
    assert "over 3 epochs: from 2 to 0.5" in drawn["Loss"]
    assert drawn["Cluster sizes"].count('class="c1"') == 2
    assert charts([], ("a",)) == ()
    closed = {chart.title: str(chart.picture) for chart in charts(lines, ("cluster 1", "cluster 2"), (1, 6))}
    assert closed["Cluster sizes"].count('class="c1"') == 3 and "last clustering: 1, 6" in closed["Cluster sizes"]


def test_shares_are_drawn_from_0_to_1():
    lines = [{"epoch": e, "nmi_previous": 0.90 + 0.001 * e, "loss": 1.0 - 0.001 * e} for e in range(3)]
    nmi, loss = (str(chart.picture) for chart in charts(lines, ("a",))[::-1])
    assert ">0.00<" in nmi.replace(">0<", ">0.00<") and ">0<" not in loss


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (0.1, 0.12), (0, 1e6), (-1e-3, 1e-3)])
def test_ticks_lie_in_the_range(low, high):
    found = svg.ticks(low, high)
    assert 2 <= len(found) <= 9 and all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_charts_escape_their_texts():
    assert "<b>" not in svg.picture(1, 1, '"><b>', svg.axis_x(svg.Frame(0, 1, 0, 1, (0, 1), (0, 1)), [(0, "<b>")]))


def test_no_text_ends_the_data():
    text = str(inert_json({"a": "</script><!--&\u2028"}))
    assert not re.search(r"[<>&]", text) and json.loads(text) == {"a": "</script><!--&\u2028"}


def test_the_configuration_is_told_without_paths():
    config = made_up_study(10).run.config.model_copy(update={"output": "/home/somebody/run"})
    tree = without_paths(config)
    assert "output" not in tree and "cohort" not in tree["data"] and "stage" not in tree["data"]
    assert tree["clustering"]["clusters"] == 6


def settings_of(section, before=""):
    """Each setting's key, and whether its type speaks of a path."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from settings_of(field.annotation, f"{before}{name}.")
        else:
            yield f"{before}{name}", "Path" in str(field.annotation)


def test_no_setting_that_is_a_path_is_told_and_all_others_are():
    told, is_path = dict(leaves(without_paths(Config()))), dict(settings_of(Config))
    assert {"output", "data.cohort", "ingest.lungmask_weights"} <= {key for key, path in is_path.items() if path}
    assert set(told) == {key for key, path in is_path.items() if not path}


def test_pages_of_other_verbs_are_read_as_they_stand(tmp_path):
    page = tmp_path / "association.md"
    page.write_text(
        "# Association\n\n- 3 rows <b>\n\n## Tests\n\nAll of them.\n\n"
        "| name | p |\n| --- | ---: |\n| a\\|b | **0.01** |\n"
        "| \\(c\\) | < 0.001 |\n| &emsp;d \\&lt; | |\n"
    )
    first, second = read_findings(page).parts
    assert (first.heading, first.points) == ("Association", ("3 rows <b>",))
    (table,) = second.tables
    assert table.caption == "All of them." and table.rows == (("a|b", "0.01"), ("(c)", "< 0.001"), ("\u2003d &lt;", ""))
    assert table.numeric == (False, True)
    assert read_findings(tmp_path / "none.md") is None
    (tmp_path / "odd.md").write_bytes(b"\xff\xfe")
    assert read_findings(tmp_path / "odd.md") is None


def test_the_figure_of_a_page_is_in_the_report_and_no_file_elsewhere(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 20)).save(tmp_path / "made.png")
    (tmp_path / "a.md").write_text("# A\n\n![what it shows](made.png)\n\ntext\n")
    found = read_findings(tmp_path / "a.md")
    assert found.figure.startswith("data:image/webp;base64,") and found.alt == "what it shows"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.md").write_text("# B\n\n![x](../made.png)\n\ntext\n")
    assert read_findings(tmp_path / "sub" / "b.md").figure == ""
