"""``report`` end to end on real runs: every method, with and without labels, a moved cohort, a damaged case."""

import json
import platform
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from support.canary import NAME
from support.cohorts import BASELINE_SHAPE, damage_case, make_cohort, settings

from dcam_dist import evaluation
from dcam_dist.config import load_config
from dcam_dist.errors import UsageError
from dcam_dist.report import build
from dcam_dist.report.build import write_report
from dcam_dist.report.placing import choose_shown
from dcam_dist.report.scatter import NOT_INSTALLED, TOO_FEW, planes
from dcam_dist.report.study import open_study
from dcam_dist.training import train


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Few clusterings for the stability, and no UMAP, whose import alone takes seconds; test_umap_… has it."""
    patch = pytest.MonkeyPatch()
    patch.setattr("dcam_dist.report.steadiness.SEEDS", 2)
    patch.setattr("dcam_dist.report.steadiness.RESAMPLES", 3)
    patch.setitem(sys.modules, "umap", None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def evaluated(dcam_run, small_cohort, tmp_path_factory):
    run = tmp_path_factory.mktemp(NAME) / "run"
    shutil.copytree(dcam_run, run)
    evaluation.evaluate([run], cohort=small_cohort)
    return run


def section(page, name):
    return re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)[0]


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_an_evaluated_run_has_every_section(evaluated):
    path = write_report(evaluated)
    page = path.read_text("utf-8")
    assert path == evaluated / "report.html" and len(page) < 25_000_000
    ids = ("glance", "warnings", "scores", "classes", "viewer", "plane", "differences", "scanner", "stability")
    for name in (*ids, "training", "cases", "methods", "reproduction"):
        assert section(page, name), name
    assert 'id="faithfulness"' not in page and 'id="association"' not in page
    assert "dcam, untrained" in section(page, "scores") and "LAA-950 binning" in section(page, "scores")
    assert section(page, "classes").count("<article") == 3
    assert "data:image/webp;base64," in section(page, "classes")
    assert TOO_FEW in section(page, "plane")
    data = data_of(page)
    assert len(data["id"]) == 13 and min(data["class"]) >= 0 and min(data["head"]) >= 0
    assert sum(point is not None for point in data["planes"][0]["xy"]) == 9


def test_it_says_nothing_of_where_it_was_made(evaluated):
    page = write_report(evaluated).read_text("utf-8")
    assert NAME not in page and str(evaluated) not in page
    assert platform.node() not in section(page, "reproduction")


def test_without_an_evaluation_it_tells_and_shows_the_rest(dcam_run, tmp_path):
    path = write_report(dcam_run, out=tmp_path / "here.html")
    page = path.read_text("utf-8")
    assert path == tmp_path / "here.html" and "dcam-dist evaluate RUN" in section(page, "scores")
    assert "was not evaluated" in section(page, "warnings") and section(page, "classes").count("<article") == 3


@pytest.mark.parametrize("method", ["baseline", "supervised"])
def test_other_methods(tmp_path, method):
    cohort = make_cohort(tmp_path / "cohort.zarr", 9, shape=BASELINE_SHAPE)
    wanted = settings(
        cohort, output=tmp_path / "run", method=method, grid__shape=list(BASELINE_SHAPE), training__epochs=1
    )
    run = train(load_config(None, wanted)).run
    evaluation.evaluate([run])
    page = write_report(run).read_text("utf-8")
    assert ('id="stability"' in page) == (method == "baseline")
    titles = data_of(page)["classes"]
    if method == "supervised":
        assert titles[0] == "absent" and section(page, "classes").count("<article") == 6
        assert '<h2 id="h-classes">Grades</h2>' in page
    else:
        assert titles == ["cluster 1", "cluster 2", "cluster 3"]


def test_a_moved_cohort_without_labels_and_with_a_damaged_case(unlabelled_cohort, tmp_path):
    shutil.copytree(unlabelled_cohort, tmp_path / "first.zarr")
    run = train(load_config(None, settings(tmp_path / "first.zarr", output=tmp_path / "run"))).run
    (tmp_path / "first.zarr").rename(tmp_path / "moved.zarr")
    with pytest.raises(UsageError, match="no cohort"):
        write_report(run)
    typical = choose_shown(open_study(run, tmp_path / "moved.zarr").placed)[0].typical[0]
    damage_case(tmp_path / "moved.zarr", typical, "flip")
    page = write_report(run, cohort=tmp_path / "moved.zarr").read_text("utf-8")
    assert "No case has a label" in section(page, "warnings") and data_of(page)["labels"] == []
    assert section(page, "classes").count("The stored volume is damaged.") == 1
    assert f"The volumes of {typical} are damaged" in section(page, "warnings")


def test_a_place_that_cannot_be_written_is_one_line_before_the_work(evaluated, tmp_path):
    with pytest.raises(UsageError, match="its folder does not exist"):
        write_report(evaluated, out=tmp_path / "none" / "report.html")
    with pytest.raises(UsageError, match="is a folder"):
        write_report(evaluated, out=tmp_path)
    with pytest.raises(UsageError, match="no run here"):
        write_report(tmp_path)


def test_pages_of_other_verbs_are_shown(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "viewer_parts", lambda *_: None)
    run = tmp_path / "run"
    shutil.copytree(evaluated, run)
    (run / "association").mkdir()
    (run / "association" / "association.md").write_text("# Association\n\n- 3 of 13 cases <b>\n")
    (run / "faithfulness.md").write_text("# Faithfulness of the maps\n\n- a sentence\n")
    page = write_report(run).read_text("utf-8")
    assert "3 of 13 cases &lt;b&gt;" in section(page, "association") and "a sentence" in section(page, "faithfulness")


def test_umap_is_the_same_again_and_left_out_with_a_line_where_it_is_not_installed():
    points = np.random.default_rng(0).normal(0, 1, (30, 4)).astype(np.float32)
    (only,), why = planes(points, 3)
    assert only.key == "pca" and why == NOT_INSTALLED
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "umap")
        pytest.importorskip("umap")
        threads = torch.get_num_threads()
        first, second = (planes(points, 3)[0][1].points_N2 for _ in range(2))
    assert torch.get_num_threads() == threads  # those of the process are not numba's to set
    assert first.shape == (30, 2) and np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
