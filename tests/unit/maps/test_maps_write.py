import json
import shutil
import subprocess
import sys

import pytest
import SimpleITK as sitk
from support.processes import REPOSITORY, environment

from dcam_dist.cohort import CohortDescription, close_cohort, create_cohort, validate
from dcam_dist.config.schema import FLEISCHNER_GRADES, GridConfig
from dcam_dist.errors import DataError, UsageError
from dcam_dist.maps import write_maps
from dcam_dist.runs import fingerprint, restore_run

NIFTI = {"dcam-cluster-1.nii.gz", "dcam-cluster-2.nii.gz", "dcam-winner.nii.gz"}


@pytest.fixture
def run(trained_run, tmp_path):
    return shutil.copytree(trained_run, tmp_path / "run")


def test_typical_cases_and_the_figure_are_written_when_no_case_is_named(run):
    summary = write_maps(run)
    assignment = restore_run(run).checkpoint.assignment.by_case()
    assert summary.figure == run / "maps" / "figure1.png" and summary.figure.stat().st_size > 10_000
    assert len(summary.case_ids) == 2
    assert {assignment[case_id] for case_id in summary.case_ids} == set(assignment.values())
    assert all(file.is_file() for file in summary.files)
    for case_id in summary.case_ids:
        names = {path.name for path in (run / "maps" / case_id).iterdir()}
        assert names == NIFTI | {"case.json", "overlay.png"}


def test_named_cases_are_written_once_each_and_no_figure(run):
    summary = write_maps(run, case_ids=["case-6", "case-1", "case-6"])
    assert summary.case_ids == ("case-6", "case-1") and summary.figure is None
    assert len(summary.files) == 2 * 5
    assert not (run / "maps" / "figure1.png").exists()
    assert {path.name for path in (run / "maps").iterdir()} == {"case-1", "case-6"}


def test_a_cohort_that_moved_gives_the_same_maps(run, cohort_path, tmp_path):
    path = run / "maps" / "case-3" / "dcam-cluster-1.nii.gz"
    volumes = []
    for cohort in (None, shutil.copytree(cohort_path, tmp_path / "moved.zarr")):
        write_maps(run, case_ids=["case-3"], cohort=cohort)
        volumes.append(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    assert (volumes[0] == volumes[1]).all() and volumes[0].any()


def test_supervised_runs_are_mapped_by_grade(settings, tmp_path):
    from dcam_dist.training import train

    run = train(settings("method=supervised", f"output={tmp_path / 'run'}")).run
    summary = write_maps(run)
    assert summary.figure is not None
    folder = run / "maps" / summary.case_ids[0]
    assert {f"dcam-grade-{number}.nii.gz" for number in range(6)} < {path.name for path in folder.iterdir()}
    tree = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    assert tree["grade_title"] == FLEISCHNER_GRADES[tree["grade"]]
    assert tree["grade"] == tree["grade_of_the_head"]


def test_an_unknown_case_is_refused_before_anything_is_written(run):
    with pytest.raises(UsageError, match="no case fits --case number 2"):
        write_maps(run, case_ids=["case-1", "nobody"])
    assert not (run / "maps").exists()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no run here"):
        write_maps(tmp_path)


def test_a_cohort_of_another_grid_is_refused(run, tmp_path):
    other = tmp_path / "other.zarr"
    create_cohort(other, CohortDescription(GridConfig(shape=(16, 16, 16)), FLEISCHNER_GRADES))
    close_cohort(other, [], [])
    with pytest.raises(UsageError, match="another grid or label set"):
        write_maps(run, cohort=other)


def test_a_damaged_volume_names_the_case(run, cohort_path, tmp_path):
    moved = shutil.copytree(cohort_path, tmp_path / "moved.zarr")
    (shard,) = [
        path for path in (moved / "cases" / "case-2" / "0").rglob("*") if path.name != "zarr.json" and path.is_file()
    ]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(bytes(data))
    with pytest.raises(DataError, match="case-2"):
        write_maps(run, case_ids=["case-2"], cohort=moved)


@pytest.mark.parametrize("case_ids", [[], ["case-1", "case-2"]])
def test_dicom_slices_go_with_exactly_one_case(run, tmp_path, case_ids):
    with pytest.raises(UsageError, match="--source-dicom is the folder of one scan: name that case"):
        write_maps(run, case_ids=case_ids, source_dicom=tmp_path)
    assert not (run / "maps").exists()


def test_a_case_whose_slices_are_not_in_the_folder_is_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(DataError, match="--source-dicom: none of its 0 series is the scan of case case-1"):
        write_maps(run, case_ids=["case-1"], source_dicom=tmp_path)
    assert not (run / "maps").exists()


def test_labels_of_two_runs_lie_side_by_side_in_the_cohort(run, cohort_path, settings, tmp_path):
    from dcam_dist.training import train

    moved = shutil.copytree(cohort_path, tmp_path / "moved.zarr")
    other = train(settings(f"output={tmp_path / 'other'}", "seed=7")).run
    names = []
    for one in (run, other, run):
        summary = write_maps(one, case_ids=["case-2"], cohort=moved, ome_zarr=True)
        assert summary.identified is None
        names += [label.name for label in summary.labels]
    assert names[0] == names[2] != names[1]
    assert names[0] == f"winner-dcam-{fingerprint(restore_run(run).checkpoint)[:8]}"
    assert {path.name for path in (moved / "cases" / "case-2" / "labels").iterdir() if path.is_dir()} == {
        "lungs",
        *names,
    }
    assert validate(moved).whole


def test_a_read_only_cohort_is_one_line(run, cohort_path, tmp_path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no namespaces of one's own here")
    moved = shutil.copytree(cohort_path, tmp_path / "moved.zarr")
    mount = f"mount --bind {moved} {moved} && mount -o remount,ro,bind {moved}"
    verb = [sys.executable, "-m", "dcam_dist", "maps", run, "--case", "case-1", "--cohort", moved, "--ome-zarr"]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *map(str, verb)]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False, timeout=240
    )
    assert ended.returncode == 4
    assert ended.stderr == (
        f"dcam-dist: {moved}: cannot be written, so no labels go into it; copy it, and name the copy with --cohort\n"
    )
