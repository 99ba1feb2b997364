"""``demo`` short of training, which the end-to-end test has: what it makes first, and what it does with a used one."""

import sys

import pytest

from dcam_dist import demo
from dcam_dist.cohort import open_cohort
from dcam_dist.errors import DcamError, UsageError
from dcam_dist.phantom import cohort as phantom

CONFIG = "grid:\n  shape: [16, 16, 16]\ningest:\n  workers: 1\n"


@pytest.fixture
def run_until_training(tmp_path, monkeypatch):
    """``run_demo`` on two cases with a launcher that fails at once; gives the lines it said."""
    monkeypatch.setattr(demo, "CASES", 2)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (tmp_path / "config.yaml").write_text(CONFIG)

    def run():
        said = []
        with pytest.raises(DcamError, match="training dcam ended with 1; its message is above"):
            demo.run_demo(tmp_path / "out", config_file=tmp_path / "config.yaml", say=said.append)
        return said

    return run


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_scans_and_cohort_are_made_once_and_a_failed_training_is_told(run_until_training, tmp_path):
    said = run_until_training()
    assert said[0].startswith("generate 2 synthetic chest CTs as DICOM")
    assert said[2:] == ["  2 cases accepted, 0 set aside", f"train dcam on 2 processes → {tmp_path / 'out' / 'dcam'}"]
    assert len(open_cohort(tmp_path / "out" / "cohort.zarr").cases) == 2
    before = files(tmp_path / "out" / "scans")
    assert run_until_training() == said[1:]
    assert files(tmp_path / "out" / "scans") == before


def test_an_interrupted_generation_is_begun_anew(run_until_training, tmp_path, monkeypatch):
    def interrupted(index, *arguments, **settings):
        if index == 1:
            raise KeyboardInterrupt
        return original(index, *arguments, **settings)

    original = phantom.make_case
    with monkeypatch.context() as patch:
        patch.setattr(phantom, "make_case", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_until_training()
    assert run_until_training()[0].startswith("generate")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"scans", "cohort.zarr", "cohort.private.json"}


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "mine.dcm").write_text("precious")
    with pytest.raises(UsageError, match="exists and is not a demo"):
        demo.run_demo(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"scans", "mine.dcm"}
