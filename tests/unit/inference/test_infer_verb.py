"""``export`` and ``infer`` on the command line: what they say, and their exit codes."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from support.ct_files import chest_hu, lung_box, series, write_image, write_series
from support.verbs import call_verb

from dcam_dist.runs.sealed import read_sealed, write_sealed


@pytest.fixture
def command(monkeypatch, capsys):
    """The command line in this process: exit code, stdout, stderr."""

    return partial(call_verb, monkeypatch, capsys)


@pytest.fixture(scope="module")
def two_kernels(tmp_path_factory):
    """One acquisition reconstructed twice, sharp with noise in the lungs, and a table with a mask for both."""
    folder = tmp_path_factory.mktemp("kernels")
    smooth = chest_hu()
    sharp = smooth.copy()
    sharp[lung_box()] += np.random.default_rng(0).normal(0, 90, int(lung_box().sum())).astype(np.int16)
    made = {name: series(hu) for name, hu in (("B", smooth), ("L", sharp))}
    for name, slices in made.items():
        for dataset, other in zip(slices, made["B"], strict=True):
            dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = other.StudyInstanceUID, other.FrameOfReferenceUID
            dataset.ConvolutionKernel = name
        write_series(folder / name, slices)
    write_image(folder / "mask.nrrd", lung_box().astype(np.uint8))
    rows = ["case_id,image,lung_mask", "smooth,B,mask.nrrd", "sharp,L,mask.nrrd"]
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder / "cases.csv"


def test_reconstructions_that_disagree_are_told_everywhere(command, two_kernels, bundle, tmp_path):
    code, out, _ = command("infer", two_kernels, "-o", tmp_path / "out", "--model", bundle)
    assert code == 0
    (loud,) = (line for line in out.splitlines() if line.startswith("RECONSTRUCTIONS DISAGREE: "))
    assert "sharp (kernel L) and smooth (kernel B)" in loud and "LAA-950" in loud
    rows = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert all("reconstructions_disagree" in row for row in rows[1:]) and len(rows) == 3
    for own, other in (("sharp", "smooth"), ("smooth", "sharp")):
        tree = json.loads((tmp_path / "out" / own / "case.json").read_text())
        assert tree["other_reconstructions"][0]["case_id"] == other
        assert "two reconstructions of one acquisition, and disagree" in tree["warnings"][-1]
    assert "for research only" in out and "smooth" in out


def test_a_model_is_asked_for(command, series, tmp_path):
    code, _, err = command("infer", series, "-o", tmp_path / "out")
    assert code == 2 and "give a finished run or a bundle with --model" in err and len(err.splitlines()) == 1
    code, _, err = command("infer", series, "-o", tmp_path / "out", "--model", tmp_path / "none")
    assert code == 2 and "no run and no bundle here" in err
    assert not (tmp_path / "out").exists()


def test_nothing_that_could_be_used_is_exit_code_3(command, bundle, tmp_path):
    write_image(tmp_path / "mask.nrrd", lung_box().astype(np.uint8))
    code, out, err = command("infer", tmp_path / "mask.nrrd", "-o", tmp_path / "out", "--model", bundle)
    assert code == 3 and "not_hounsfield" in out and "no scan could be used" in err
    assert json.loads((tmp_path / "out" / "quarantine.json").read_text())[0]["reason"] == "not_hounsfield"


def test_a_damaged_bundle_is_one_line(command, bundle, series, tmp_path):
    copied = shutil.copytree(bundle, tmp_path / "b")
    with (copied / "model.safetensors").open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"\xff")
    code, _, err = command("infer", series, "-o", tmp_path / "out", "--model", copied)
    assert code == 3 and err == f"dcam-dist: {copied}: model.safetensors is damaged\n"


def test_a_newer_bundle_is_exit_code_4(command, bundle, series, tmp_path):
    files = read_sealed(bundle)
    files["bundle.json"] = json.dumps({**json.loads(files["bundle.json"]), "format": 9}).encode()
    (tmp_path / "b").mkdir()
    write_sealed(tmp_path / "b", files.items())
    code, _, err = command("infer", series, "-o", tmp_path / "out", "--model", tmp_path / "b")
    assert code == 4 and "install a newer dcam-dist" in err and len(err.splitlines()) == 1


def test_export_says_what_the_bundle_lacks(command, run_of, study, tmp_path):
    copied = shutil.copytree(run_of("dcam"), tmp_path / "run")
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace(str(study / "cohort.zarr"), str(tmp_path / "gone.zarr")))
    code, out, _ = command("export", copied, "--out", tmp_path / "b")
    assert code == 0 and "name it with --cohort" in out and "evaluate the run first" in out
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "Not a medical device" in card and "cohort was not at hand" in card and "not evaluated" in card
    command("evaluate", copied, "--cohort", study / "cohort.zarr")
    code, out, _ = command("export", copied, "--out", tmp_path / "b", "--cohort", study / "cohort.zarr")
    written, few = out.splitlines()
    assert code == 0 and written.startswith("bundle: ") and "fewer than 5 training cases" in few
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "LAA-950 binning" in card and "Reconstruction kernels: " in card and "phantom-0" not in card
    (copied / "evaluation.json").write_text('{"method": "dcam"}')
    code, _, err = command("export", copied, "--out", tmp_path / "b", "--cohort", study / "cohort.zarr")
    assert code == 3 and "make it anew with: dcam-dist evaluate" in err
