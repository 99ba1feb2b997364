"""``dcam-dist validate``: a line a finding, one line of error, the exit codes, and the repair."""

import shutil

import numpy as np
import pytest
from support.cohorts import make_cohort
from support.ct_files import chest_hu, lung_box, write_image
from support.verbs import call_verb

from dcam_dist.config import load_config
from dcam_dist.ingest import ingest


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments):
        code, out, err = call_verb(monkeypatch, capsys, "validate", *arguments)
        return code, out.splitlines(), err.splitlines()

    return call


def test_a_sound_store_takes_one_line(command, small_cohort):
    assert command(small_cohort) == (0, [f"{small_cohort}: 13 cases, all as they were written"], [])


def test_every_finding_is_a_line_and_the_exit_code_is_3(command, tmp_path):
    store = make_cohort(tmp_path / "c.zarr", 2)
    (store / "cases/case001/1/c/0/0/0").write_bytes(b"")
    (store / "cases.json").unlink()
    (store / "stray\nname").write_text("x")
    code, out, err = command(store)
    assert code == 3
    assert out == [
        "cohort: cases.json: damaged: missing",
        "cohort: 'stray\\nname': foreign: file that the store did not write",
        "case case001: cases/case001/1/c/0/0/0: damaged: empty",
    ]
    (line,) = err
    assert "3 things wrong, 1 of 2 cases damaged (case001); mend it with: dcam-dist validate" in line
    assert not (store / "cases.json").exists()


def test_no_store_and_sources_without_repair_are_usage_errors(command, tmp_path, small_cohort):
    assert command(tmp_path)[0] == 2
    code, _, err = command(small_cohort, tmp_path)
    assert code == 2 and "SOURCE goes with --repair" in err[0]


def test_repair(command, tmp_path):
    write_image(tmp_path / "ct.nrrd", chest_hu())
    write_image(tmp_path / "mask.nrrd", lung_box().astype(np.uint8))
    (tmp_path / "cases.csv").write_text("case_id,image,lung_mask\nc1,ct.nrrd,mask.nrrd\n")
    store = tmp_path / "c.zarr"
    ingest([tmp_path / "cases.csv"], store, config=load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1"]))
    shutil.rmtree(store / "cases/c1/0")
    (store / "stray").mkdir()
    code, out, err = command(store, "--repair")
    assert (code, err) == (0, [])
    assert out[-1] == f"{store}: mended; cases ingested again: 1, foreign files and folders deleted: 1"
    assert command(store)[0] == 0
    (store / "cases/c1/commit").unlink()
    (tmp_path / "ct.nrrd").unlink()
    code, _, err = command(store, "--repair")
    assert code == 3 and len(err) == 1 and "case c1 cannot be mended" in err[0]
