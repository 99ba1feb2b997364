"""The command line: what it shows, and that every error is one line and a documented exit code."""

import importlib
import json
import logging
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.cohorts import settings
from support.ct_files import chest_hu, lung_box, series, write_image, write_series
from support.processes import REPOSITORY, dcam_dist, python
from support.verbs import call_verb

import dcam_dist as package
from dcam_dist.runs import open_run_directory, read_run_config

VERBS = (
    "phantom",
    "ingest",
    "validate",
    "doctor",
    "plan",
    "preflight",
    "train",
    "submit",
    "status",
    "evaluate",
    "maps",
    "associate",
    "faithfulness",
    "report",
    "export",
    "infer",
    "features",
    "select-k",
    "cluster",
    "assign",
    "demo",
)
HEAVY = {"torch", "zarr", "SimpleITK", "sklearn", "dask", "matplotlib"}


@pytest.fixture
def command(monkeypatch, capsys):
    """The command line in this process: exit code, stdout, stderr."""

    level = logging.getLogger("dcam_dist").level
    yield partial(call_verb, monkeypatch, capsys)
    logging.getLogger("dcam_dist").setLevel(level)


def assert_one_line(err, *parts):
    (line,) = err.splitlines()
    assert line.startswith("dcam-dist: ")
    assert "Traceback" not in line
    for part in parts:
        assert part in line


def modules_after(statement):
    program = (
        f"import sys, json\ntry:\n    {statement}\nexcept SystemExit: pass\nprint('\\n' + json.dumps([*sys.modules]))"
    )
    ended = python(["-c", program])
    assert ended.returncode == 0, ended.stderr
    return {name.partition(".")[0] for name in json.loads(ended.stdout.splitlines()[-1])}


def test_help_names_every_verb_and_the_exit_codes(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    listed = re.findall(r"^  ([\w-]+) +\S", out.partition("Commands:")[2].partition("\n\n")[0], flags=re.MULTILINE)
    assert tuple(listed) == VERBS
    assert "0 done, 2 usage or configuration, 3 data, 4 environment" in " ".join(out.split())


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(command, verb):
    code, out, err = command(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: dcam-dist {verb}")


def test_version(command):
    assert command("--version") == (0, f"{package.__version__}\n", "")


def test_without_a_verb_the_help_is_shown(command):
    code, out, err = command()
    assert code == 2
    assert "Commands:" in out + err


def test_help_and_importing_the_package_load_nothing_heavy():
    called = "sys.argv = ['dcam-dist', 'train', '--help']; from dcam_dist.__main__ import main; main()"
    loaded = modules_after(called)
    assert {"typer", "dcam_dist"} <= loaded
    assert not HEAVY & loaded
    assert not HEAVY & modules_after("import dcam_dist")


def test_the_status_of_a_run_needs_nothing_heavy(dcam_run):
    called = f"sys.argv = ['dcam-dist', 'status', '{dcam_run}']; from dcam_dist.__main__ import main; main()"
    assert not HEAVY & modules_after(called)


def test_the_shell_completes_verbs():
    script = python(["-m", "dcam_dist"], _DCAM_DIST_COMPLETE="source_bash")
    assert script.returncode == 0
    assert "complete -o default -F _dcam_dist_completion dcam-dist" in script.stdout
    asked = {"_DCAM_DIST_COMPLETE": "complete_bash", "COMP_WORDS": "dcam-dist e", "COMP_CWORD": "1"}
    assert python(["-m", "dcam_dist"], **asked).stdout.split() == ["evaluate", "export"]


def test_an_unknown_verb_is_named():
    ended = dcam_dist("segment")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "Error: No such command 'segment'."
    assert "dcam-dist --help" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("verb", ["ingest", "train"])
def test_an_unknown_key_names_the_nearest(command, tmp_path, verb):
    inputs = ["ingest", tmp_path, "--out", tmp_path / "c.zarr"] if verb == "ingest" else ["train"]
    code, _, err = command(*inputs, "training.epoch=3")
    assert code == 2
    assert_one_line(err, "unknown key training.epoch;", "did you mean training.epochs?")


@pytest.mark.parametrize("setting", ["training.epochs=0", "training.epochs=[", "grid.shape=[10,16,16]", "method=magic"])
def test_a_value_that_does_not_fit_is_named(command, setting):
    code, _, err = command("train", setting)
    assert code == 2
    assert_one_line(err, setting.partition("=")[0])


def test_a_missing_or_broken_configuration_file(command, tmp_path):
    code, _, err = command("train", "--config", tmp_path / "gone.yaml")
    assert code == 2
    assert_one_line(err, "gone.yaml: no such configuration file", "configs/")
    (tmp_path / "broken.yaml").write_text("training: [\n")
    code, _, err = command("train", "--config", tmp_path / "broken.yaml")
    assert code == 2
    assert_one_line(err, "broken.yaml: not valid YAML")


def test_a_missing_cohort(command, tmp_path):
    code, _, err = command("train", "data.cohort=gone.zarr", f"output={tmp_path / 'r'}")
    assert code == 2
    assert_one_line(err, "gone.zarr: no cohort here", "dcam-dist ingest")
    code, _, err = command("train", f"output={tmp_path / 'r'}")
    assert code == 2
    assert_one_line(err, "data.cohort: not set")


@pytest.mark.parametrize("verb", ["evaluate", "maps"])
def test_a_missing_run_and_one_that_has_not_finished(command, tmp_path, dcam_run, verb):
    code, _, err = command(verb, tmp_path / "gone")
    assert code == 2
    assert_one_line(err, "gone: no run here", "train output=")
    halted = shutil.copytree(dcam_run, tmp_path / "halted")
    shutil.rmtree(halted / "checkpoints" / "epoch-0003-4-done-000000")
    code, _, err = command(verb, halted)
    assert code == 2
    assert_one_line(err, "halted: training has not finished; go on with: dcam-dist train --config")
    open_run_directory(read_run_config(dcam_run).model_copy(update={"output": tmp_path / "fresh"}))
    code, _, err = command(verb, tmp_path / "fresh")
    assert code == 2
    assert_one_line(err, "training has not finished")


def test_the_advice_on_a_run_that_has_not_finished_is_right(command, tmp_path, dcam_run):
    halted = shutil.copytree(dcam_run, tmp_path / "halted")
    config = (halted / "config.yaml").read_text().replace(str(dcam_run), str(halted))
    (halted / "config.yaml").write_text(config)
    shutil.rmtree(halted / "checkpoints" / "epoch-0003-4-done-000000")
    _, _, err = command("evaluate", halted)
    advice = err.partition("go on with: dcam-dist ")[2].split()
    code, out, err = command(*advice)
    assert (code, err) == (0, "")
    assert out == f"3 epochs done: {halted}; next: dcam-dist evaluate {halted}\n"
    assert (halted / "checkpoints" / "epoch-0003-4-done-000000").is_dir()


def test_more_clusters_than_cases(small_cohort, tmp_path):
    ended = dcam_dist("train", *settings(small_cohort, output=tmp_path / "r"), "clustering.clusters=10")
    assert ended.returncode == 3
    assert_one_line(ended.stderr, "9 training cases cannot form clustering.clusters=10")
    assert not (tmp_path / "r").exists()


def test_an_output_in_a_used_folder(command, small_cohort, tmp_path):
    (tmp_path / "thesis.doc").write_text("precious")
    code, _, err = command("train", *settings(small_cohort, output=tmp_path))
    assert code == 2
    assert_one_line(err, str(tmp_path), "exists and holds no run")
    for verb in (["phantom", tmp_path], ["demo", "--out", tmp_path]):
        code, _, err = command(*verb)
        assert code == 2
        assert_one_line(err, str(tmp_path), "choose" if verb[0] == "demo" else "name a new folder")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_an_unknown_case(command, dcam_run):
    code, _, err = command("maps", dcam_run, "--case", "case999")
    assert code == 2
    assert_one_line(err, "no case fits --case number 1", "cases.json")


def test_a_scan_of_another_modality(command, tmp_path):
    slices = series()
    for dataset in slices:
        dataset.Modality = "MR"
    code, out, err = command("ingest", write_series(tmp_path / "mr", slices), "--out", tmp_path / "c.zarr")
    assert code == 3
    assert ": wrong_modality: " in out
    found, done, problem = err.splitlines()
    assert found == "ingest: scans found: 1"
    assert done.startswith("ingest: 1 of 1 scans done, 1 set aside, in ")
    assert_one_line(problem, "c.zarr: no case was accepted")


def test_ingest_tells_what_it_set_aside_and_strict_makes_it_an_error(command, tmp_path):
    write_image(tmp_path / "ct.nrrd", chest_hu())
    write_image(tmp_path / "mask.nrrd", lung_box().astype(np.uint8))
    (tmp_path / "cases.csv").write_text("case_id,image,lung_mask\na,ct.nrrd,mask.nrrd\nb,gone.nrrd,\n")
    arguments = ["ingest", tmp_path, "--out", tmp_path / "c.zarr", "grid.shape=[16,16,16]"]
    code, out, err = command(*arguments)
    assert code == 0
    assert all(line.startswith("ingest: ") for line in err.splitlines())
    assert re.search(r"^set aside b: missing_file: ", out, flags=re.MULTILINE)
    assert out.splitlines()[-2:] == [
        f"accepted: 1, set aside: 1, in {tmp_path / 'c.zarr'}",
        f"look at them: {tmp_path / 'c.zarr' / 'quality.html'}",
    ]
    code, out, err = command(*arguments, "--strict")
    assert code == 3
    assert "set aside b: missing_file: " in out
    assert_one_line(err.splitlines()[-1], "1 of 2 cases set aside", "--strict")


def test_an_empty_folder_and_a_source_that_is_not_there(command, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = command("ingest", tmp_path / "empty", "--out", tmp_path / "c.zarr")
    assert code == 3
    assert_one_line(err, "empty: no DICOM, NIfTI, NRRD or MetaImage file found")
    code, _, err = command("ingest", tmp_path / "gone", "--out", tmp_path / "c.zarr")
    assert code == 2
    assert_one_line(err, "gone: no such file or folder")
    assert not (tmp_path / "c.zarr").exists()


def test_tracebacks_are_shown_on_demand_only(tmp_path):
    arguments = ["ingest", tmp_path / "gone", "--out", tmp_path / "c.zarr"]
    quiet = dcam_dist(*arguments)
    assert quiet.returncode == 2
    assert_one_line(quiet.stderr, "gone: no such file or folder")
    loud = dcam_dist(*arguments, "--debug")
    assert loud.returncode != 0
    assert "Traceback (most recent call last)" in loud.stderr
    assert "UsageError" in loud.stderr and "gone: no such file or folder" in loud.stderr


def test_a_defect_is_told_as_one(command, monkeypatch, small_cohort, tmp_path):
    def breaks(*_):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(importlib.import_module("dcam_dist.training.train"), "prepare_job", breaks)
    code, _, err = command("train", *settings(small_cohort, output=tmp_path / "r"))
    assert code == 1
    assert_one_line(err, "unexpected ZeroDivisionError: two lines", "bug", "--debug")


def test_an_interruption_is_told_in_one_line(command, monkeypatch, small_cohort, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("dcam_dist.training.train"), "prepare_job", interrupted)
    code, _, err = command("train", *settings(small_cohort, output=tmp_path / "r"))
    assert code == 130
    assert_one_line(err, "interrupted")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is the one folder that not even root can write in")
def test_an_output_that_cannot_be_written(command, small_cohort):
    code, _, err = command("train", *settings(small_cohort, output="/proc/run"))
    assert code == 4
    assert_one_line(err, "/proc/run: cannot be made")


def test_a_dry_run_says_what_it_found_and_writes_nothing(command, small_cohort, tmp_path):
    code, out, err = command("train", *settings(small_cohort, output=tmp_path / "r"), "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "volumes of this rank [4, 1, 16, 32, 32], 255,572 parameters"
    assert re.match(r"loss \d+\.\d{4} \(sum\), peak memory \d+\.\d\d GiB; nothing written", out.splitlines()[1])
    assert not (tmp_path / "r").exists()


def test_the_shipped_configurations_load():
    from dcam_dist.config import load_config

    files = sorted((REPOSITORY / "configs").glob("*.yaml"))
    assert [file.stem for file in files] == ["demo", "paper", "smoke"]
    for file in files:
        load_config(file)


def test_what_a_verb_writes_is_its_owners_alone(command, tmp_path):
    code, _, _ = command("phantom", tmp_path / "p", "--cases", 1)
    assert code == 0
    assert [path for path in (tmp_path / "p").rglob("*") if path.stat().st_mode & 0o077] == []
