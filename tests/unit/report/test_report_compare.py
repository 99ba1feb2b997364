"""Cases that are asked for, other runs in Table 1, and a methods text of what was done alone."""

import re
import shutil
import sys
from dataclasses import replace

import pytest
from support.reports import made_up_study

from dcam_dist import evaluation
from dcam_dist.errors import UsageError
from dcam_dist.evaluation.stored import StoredEvaluation
from dcam_dist.report import steadiness
from dcam_dist.report.build import write_report
from dcam_dist.report.cards import Seen, cards_of
from dcam_dist.report.differences import differences
from dcam_dist.report.methods_text import methods_text
from dcam_dist.report.placing import choose_shown


@pytest.fixture(scope="module")
def runs(dcam_run, small_cohort, tmp_path_factory):
    """An evaluated run, the same in another folder, and one whose evaluation lacks a case."""
    folder = tmp_path_factory.mktemp("compare")
    first, again, other = (folder / f"secretive-{number}" for number in range(3))
    shutil.copytree(dcam_run, first)
    evaluation.evaluate([first], cohort=small_cohort)
    for copy in (again, other):
        shutil.copytree(first, copy)
    lines = (other / "clusters.csv").read_text().splitlines(keepends=True)
    (other / "clusters.csv").write_text("".join(lines[:-1]))
    return first, again, other


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(steadiness, "SEEDS", 2)
    monkeypatch.setattr(steadiness, "RESAMPLES", 3)
    monkeypatch.setitem(sys.modules, "umap", None)


def rows(page):
    section = re.search(r'<section id="scores".*?</section>', page, re.DOTALL)[0]
    return re.findall(r'<th scope="row">(.*?)</th>', section)


def test_another_run_stands_in_table_1_without_its_folder(runs, tmp_path):
    page = write_report(runs[0], out=tmp_path / "r.html", compare=[runs[1]], case_ids=["case003"]).read_text("utf-8")
    found = rows(page)
    assert {"dcam", "dcam, untrained", "dcam (2)", "dcam (2), untrained"} <= set(found)
    assert found.count("LAA-950 binning") == found.count("dcam") and "secretive" not in page
    assert "· case003" in page and page.count('"own":') == 1


def test_what_cannot_be_compared_is_one_line(runs, tmp_path):
    with pytest.raises(UsageError, match="nobody"):
        write_report(runs[0], case_ids=["nobody"])
    with pytest.raises(UsageError, match="was evaluated on other cases or splits"):
        write_report(runs[0], compare=[runs[2]])
    bare = tmp_path / "bare"
    shutil.copytree(runs[1], bare)
    (bare / "evaluation.json").unlink()
    with pytest.raises(UsageError, match=r"bare: no evaluation\.json that can be read; run dcam-dist evaluate"):
        write_report(runs[0], compare=[bare])
    with pytest.raises(UsageError, match="not evaluated; run dcam-dist evaluate"):
        write_report(bare, compare=[runs[0]])


def test_a_case_says_what_the_head_answers_where_it_is_another_cluster():
    study = made_up_study(60)
    shown, found = choose_shown(study.placed), differences([], study.cluster_N, 6)
    own, other = shown[0].typical[:2]
    first, *_ = cards_of(study, found, shown, Seen({}, {}, (), {own: (0, 0.9), other: (4, 0.6)}))
    said = {one.case_id: one.facts for one in first.pictures}
    assert "the head answers cluster 5" in said[other] and "head" not in said[own]


def told(study, *, steady=False):
    return " ".join(methods_text(study, steady=steady, versions={"dcam-dist": "1"}))


def test_a_methods_text_says_nothing_that_was_not_done():
    study = made_up_study(20)
    assert "matched to the labels" not in told(study) and "Stability" not in told(study)
    evaluated = replace(study, evaluation=StoredEvaluation("dcam", 0, 1, {}))
    assert "matched to the labels one to one" in told(evaluated) and "held fixed on the test split" in told(evaluated)
    assert "bootstrap resamples" in told(study, steady=True)
    unlabelled = replace(made_up_study(20, labelled=False), evaluation=StoredEvaluation("dcam", 0, 1, {}))
    assert "matched" not in told(unlabelled) and "permutation null" not in told(unlabelled)
    assert "split by patient" not in told(study) and "20 patients, none of them in both" in told(study)


def test_the_axes_are_those_that_were_fitted():
    study = made_up_study(20)
    four = replace(study.placed, points_NP=study.placed.points_NP[:, :4])
    clustering = study.run.config.clustering.model_copy(update={"pca_components": 8})
    config = study.run.config.model_copy(update={"clustering": clustering})
    changed = replace(study, placed=four, run=replace(study.run, config=config))
    assert "reduced by PCA to 4 axes" in told(changed)
