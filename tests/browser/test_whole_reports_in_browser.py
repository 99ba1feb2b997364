"""Reports that the verbs made, of generated and of real scans, in a real browser with WebGL."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.browser import CHROMIUM, browser
from support.viewer_page import Viewer, differ, is_coloured

from dcam_dist.phantom import write_phantom_cohort

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install --no-install-recommends chromium"),
]

CONFIG = Path(__file__).parents[2] / "configs" / "demo.yaml"
DECODED = "async i => { i.loading = 'eager'; await i.decode(); return i.naturalWidth > 50; }"
SHORT = ["training.epochs=2", "evaluation.permutations=50", "evaluation.bootstrap=50"]


def dcam_dist(*arguments):
    command = [sys.executable, "-m", "dcam_dist", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=600)


def reported(folder, table, *settings):
    """The report of a short training on the scans of a table."""
    cohort, run = folder / "cohort.zarr", folder / "run"
    dcam_dist("ingest", table, "--out", cohort, "--config", CONFIG, *settings)
    dcam_dist("train", "--config", CONFIG, f"data.cohort={cohort}", f"output={run}", *SHORT, *settings)
    dcam_dist("evaluate", run)
    dcam_dist("report", run)
    return run / "report.html"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    table = write_phantom_cohort(folder / "scans", cases=12, seed=5, matrix=128)
    return reported(folder, table, "clustering.clusters=3")


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    for archive in ("LIDC-IDRI-0001_dicom.tar.xz", "Lung_Dx-A0001_two_kernels_dicom.tar.xz"):
        with tarfile.open(real_data / archive) as packed:
            packed.extractall(folder, filter="data")
    rows = [
        "lidc,dicom_0001,lidc,train",
        "kernel-b,A0001_5mm_kernelB,lung-dx,train",
        "kernel-l,A0001_5mm_kernelL,lung-dx,train",
        f"ct64,{real_data / 'cip' / 'ct-64.nrrd'},ct64,test",
        f"patchy,{real_data / 'cip' / 'TestInput.nrrd'},patchy,train",
    ]
    table = folder / "cases.csv"
    table.write_text("\n".join(["case_id,image,patient_id,split", *rows]) + "\n")
    return reported(folder, table, "clustering.clusters=2", "training.batch_size=2")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile"), webgl=True) as opened:
        yield opened


@pytest.fixture(params=["generated", pytest.param("real", marks=pytest.mark.realdata)])
def report(request):
    return request.getfixturevalue(request.param)


def test_a_report_opens_draws_and_obeys(page, report, tmp_path):
    assert report.stat().st_size < 25_000_000
    page.show_as(1280)
    page.open(report)
    assert page.ask("performance.timing.loadEventEnd - performance.timing.navigationStart") < 10_000
    headings = page.ask("[...document.querySelectorAll('main h2')].map(h => h.textContent)")
    assert {"At a glance", "Warnings", "Clusters", "The scans in 3D", "Scanner and kernel"} <= set(headings)
    assert set(page.ask(f"Promise.all([...document.images].map({DECODED}))")) == {True}
    page.ask("document.getElementById('viewer').scrollIntoView()")
    viewer = Viewer(page, tmp_path)
    viewer.wait()
    viewer.set("map", "winner")  # a short training may leave no cluster's own map above chance
    before = viewer.picture()
    assert before.std() > 20 and is_coloured(before) > 0.02
    for name, value in (("map", "none"), ("z", "12"), ("view", "coronal"), ("case", "1")):
        viewer.set(name, value)
        after = viewer.picture()
        assert differ(before, after), name
        before = after
    assert page.complaints() == [] and page.requests() == [report.as_uri()]


def test_the_report_of_real_scans_names_what_is_wrong_with_it(page, real):
    """Five scans in two clusters are no study, and the page says so."""
    page.show_as(1280)
    page.open(real)
    warnings = page.ask("document.getElementById('warnings').textContent")
    assert "few" in warnings and "No case has a label" in warnings
