"""From DICOM to the maps through the real command line, and the same again by ``demo``; killed and taken up again."""

import csv
import json
import stat

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from support.cohorts import settings
from support.processes import REPOSITORY, dcam_dist, kill_torchrun_when, torchrun

from dcam_dist.cohort import open_cohort
from dcam_dist.runs import latest_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.distributed]
CASES, RANKS = 12, 2
SMOKE = str(REPOSITORY / "configs" / "smoke.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything that the verbs make one after the other, laid out as ``demo`` does."""
    return tmp_path_factory.mktemp("whole") / "demo"


@pytest.fixture(scope="module")
def steps(folder):
    """What the verbs said. Train and evaluate run on two ranks."""
    run, cohort, table = folder / "dcam", folder / "cohort.zarr", folder / "scans" / "cases.csv"
    training = ["-m", "dcam_dist", "train", "--config", SMOKE, f"data.cohort={cohort}", f"output={run}"]
    steps = {
        "phantom": lambda: dcam_dist("phantom", folder / "scans", "--cases", CASES),
        "ingest": lambda: dcam_dist("ingest", table, "--out", cohort, "--config", SMOKE, "ingest.workers=2"),
        "train": lambda: torchrun(RANKS, training),
        "evaluate": lambda: torchrun(RANKS, ["-m", "dcam_dist", "evaluate", str(run)]),
        "maps": lambda: dcam_dist("maps", run),
    }
    said = {}
    for name, step in steps.items():
        ended = step()
        assert ended.returncode == 0, (name, ended.stderr)
        assert "Traceback" not in ended.stderr
        said[name] = ended
    return said


@pytest.fixture(scope="module")
def table(steps, folder):
    with (folder / "scans" / "cases.csv").open(encoding="utf-8", newline="") as stream:
        return {row["case_id"]: row for row in csv.DictReader(stream)}


def test_the_scans_are_dicom(steps, folder, table):
    assert len(table) == CASES
    for row in table.values():
        slices = sorted((folder / "scans" / row["image"]).iterdir())
        assert len(slices) > 20
        assert pydicom.dcmread(slices[0], stop_before_pixels=True).Modality == "CT"


def test_the_cohort_holds_every_case_with_its_grade_and_names_no_patient(steps, folder, table):
    cohort = open_cohort(folder / "cohort.zarr")
    assert steps["ingest"].stdout.splitlines()[-2].startswith(f"accepted: {CASES}, set aside: 0, in ")
    assert cohort.quarantine == ()
    names = cohort.description.label_names
    assert {case.case_id: names[case.label] for case in cohort.cases} == {i: row["label"] for i, row in table.items()}
    assert {len(cohort.split("train")), len(cohort.split("test"))} == {8, 4}
    for case in cohort.cases:
        hu, lungs = np.asarray(cohort.hu(case.case_id)), np.asarray(cohort.lung_mask(case.case_id))
        assert hu.shape == lungs.shape == (16, 32, 32)
        assert -1000 < hu[lungs > 0].mean() < -700
    stored = b"".join(file.read_bytes() for file in (folder / "cohort.zarr").rglob("*.json"))
    assert b"PHANTOM" not in stored
    assert stat.S_IMODE((folder / "cohort.private.json").stat().st_mode) == 0o600


def test_the_run_holds_every_epoch_and_the_closing_clustering(steps, folder):
    run = folder / "dcam"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert all(np.isfinite(line["loss"]) and sum(line["cluster_sizes"]) == 8 for line in lines)
    checkpoint = latest_checkpoint(run)
    assert checkpoint.finished and checkpoint.epoch == 2
    assert len(checkpoint.assignment.case_id_N) == 8
    assert steps["train"].stdout.count("2 epochs done") == 1  # by rank 0 alone
    assert steps["train"].stderr.count("epoch 2/2") == 1


def test_the_evaluation_is_shown_and_written(steps, folder, table):
    run, said = folder / "dcam", steps["evaluate"].stdout
    for name in ("evaluation.json", "evaluation.md", "clusters.csv"):
        assert said.count(name) == 1
        assert (run / name).is_file()
    for row in ("dcam", "dcam, head's answer", "dcam, untrained", "LAA-950 binning", "densitometry k-means"):
        assert said.count(f"│ {row} ") == 2  # once a split
    with (run / "clusters.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["case_id"] for row in csv.DictReader(stream)} == table.keys()


def test_the_maps_lie_in_the_space_of_the_scans(steps, folder, table):
    maps = folder / "dcam" / "maps"
    assert (maps / "figure1.png").stat().st_size > 10_000
    cases = [path for path in maps.iterdir() if path.is_dir()]
    assert 3 <= len(cases) <= 6  # two typical cases of each cluster that has them
    for case in cases:
        given = sitk.ReadImage(str(folder / "scans" / table[case.name]["lung_mask"]))
        winner = sitk.ReadImage(str(case / "dcam-winner.nii.gz"))
        assert winner.GetSize() == given.GetSize()
        for ours, theirs in (
            (winner.GetOrigin(), given.GetOrigin()),
            (winner.GetSpacing(), given.GetSpacing()),
            (winner.GetDirection(), given.GetDirection()),
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
        lungs, inside = sitk.GetArrayFromImage(given) > 0, sitk.GetArrayFromImage(winner)
        np.testing.assert_array_equal(inside > 0, lungs)
        assert set(np.unique(inside)) <= {0, 1, 2, 3}
        maps_KDHW = [sitk.GetArrayFromImage(sitk.ReadImage(str(case / f"dcam-cluster-{k}.nii.gz"))) for k in (1, 2, 3)]
        np.testing.assert_array_equal(np.argmax(maps_KDHW, axis=0)[lungs] + 1, inside[lungs])


def test_demo_goes_on_with_what_is_there_and_adds_the_rest(steps, folder):
    """Also: one process evaluates as two ranks did."""
    run = folder / "dcam"
    scans = {path: path.stat().st_mtime_ns for path in (folder / "scans").rglob("*")}
    before = {path: path.stat().st_mtime_ns for path in (run / "checkpoints").rglob("*")}
    by_two_ranks = [(run / name).read_bytes() for name in ("evaluation.json", "clusters.csv")]
    ended = dcam_dist("demo", "--out", folder, "--config", SMOKE, "--processes", RANKS)
    assert ended.returncode == 0, ended.stderr
    assert "generate" not in ended.stdout
    assert scans == {path: path.stat().st_mtime_ns for path in (folder / "scans").rglob("*")}
    assert before == {path: path.stat().st_mtime_ns for path in (run / "checkpoints").rglob("*")}
    assert [(run / name).read_bytes() for name in ("evaluation.json", "clusters.csv")] == by_two_ranks
    assert latest_checkpoint(folder / "baseline").finished
    for row in ("dcam", "baseline", "baseline, untrained", "LAA-950 binning"):
        assert ended.stdout.count(f"│ {row} ") == 1
    made = ["scans", "cohort.zarr", "dcam", "baseline", "comparison.md", "dcam/maps/figure1.png", "dcam/report.html"]
    assert [line.split()[-1] for line in ended.stdout.splitlines()[-7:]] == [str(folder / name) for name in made]
    assert all((folder / name).exists() for name in made)


def test_killed_in_the_middle_it_ends_as_if_nothing_had_happened(small_cohort, tmp_path):
    epochs = 8

    def training(run):
        return ["-m", "dcam_dist", "train", *settings(small_cohort, output=run, training__epochs=epochs)]

    run = tmp_path / "killed"
    kill_torchrun_when(lambda: any((run / "checkpoints").glob("epoch-*/MANIFEST.json")), RANKS, training(run))
    halfway = latest_checkpoint(run)
    assert not halfway.finished and 1 <= halfway.epoch < epochs
    for name in ("killed", "whole"):
        ended = torchrun(RANKS, training(tmp_path / name))
        assert ended.returncode == 0, ended.stderr
        assert ("going on at epoch" in ended.stderr) == (name == "killed")
    lines = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("killed", "whole")
    }
    assert [line["epoch"] for line in lines["killed"]] == list(range(epochs))
    for key in ("loss", "cluster_sizes", "inertia", "nmi_previous"):
        assert [line[key] for line in lines["killed"]] == [line[key] for line in lines["whole"]]
    killed, whole = (latest_checkpoint(tmp_path / name) for name in ("killed", "whole"))
    assert killed.finished and killed.assignment.case_id_N == whole.assignment.case_id_N
    np.testing.assert_array_equal(killed.assignment.label_N, whole.assignment.label_N)
    assert killed.engine.keys() == whole.engine.keys()
    for name, tensor in whole.engine.items():
        np.testing.assert_array_equal(killed.engine[name], tensor, err_msg=name)
