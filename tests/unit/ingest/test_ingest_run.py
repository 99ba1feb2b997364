"""The whole of ingest in one process: records, privacy, going on after an interruption, what is refused."""

import json
import os
import shutil
import signal
import stat

import numpy as np
import pytest
from support.ct_files import chest_hu, geometry, lung_box, series, write_image, write_series
from support.processes import python

import dcam_dist.ingest
from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.ingest import ingest
from dcam_dist.ingest.lock import only_writer

CONFIG = load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1"])


def _cohort_files(root):
    """Three cases of two patients, all with masks."""
    write_series(root / "Canary" / "ct", series(patient="CanaryId"))
    write_image(root / "Canary" / "mask.nii.gz", lung_box().astype(np.uint8))
    write_image(root / "second.nrrd", chest_hu(seed=2))
    write_image(root / "third.mha", chest_hu(seed=3))
    (root / "cases.csv").write_text(
        "case_id,image,lung_mask,label,patient_id,age\n"
        "c1,Canary/ct,Canary/mask.nii.gz,mild,,61\n"
        "c2,second.nrrd,Canary/mask.nii.gz,0,CanaryTwo,\n"
        "c3,third.mha,Canary/mask.nii.gz,,CanaryTwo,70\n"
    )
    return root / "cases.csv"


def _tree(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_records(tmp_path):
    calls = []
    table = _cohort_files(tmp_path)
    summary = ingest([table], tmp_path / "c.zarr", config=CONFIG, progress=lambda *counts: calls.append(counts))
    assert (summary.accepted, summary.quarantined, summary.exit_code) == (3, (), 0)
    assert calls == [(0, 3, 0), (1, 3, 0), (2, 3, 0), (3, 3, 0)]
    cohort = open_cohort(tmp_path / "c.zarr")
    c1, c2, c3 = cohort.cases
    assert [case.case_id for case in cohort.cases] == ["c1", "c2", "c3"]
    assert c2.patient_key == c3.patient_key != c1.patient_key
    assert c2.split == c3.split != c1.split
    assert (c1.label, c2.label, c3.label) == (2, 0, -100)
    assert c1.covariates["kernel"] == "B30f" and c1.covariates["age"] == "61"
    assert c1.provenance["format"] == "dicom" and c1.provenance["lung_mask"] == "given"
    assert c1.scan == geometry(chest_hu().shape)
    native = np.asarray(cohort.hu("c1", "0"))
    offset = np.linalg.inv(c1.scan.matrix) @ c1.native.matrix[:, 3]
    x, y, z = np.rint(offset[:3]).astype(int)
    depth, height, width = native.shape
    expected = np.clip(chest_hu(), -1024, 3071)[z : z + depth, y : y + height, x : x + width]
    assert np.array_equal(native, expected)
    mask = np.asarray(cohort.lung_mask("c1", "0")).astype(bool)
    assert c1.densitometry["volume_ml"] == pytest.approx(mask.sum() * c1.native.voxel_ml)
    assert c1.densitometry["mean_hu"] == pytest.approx(native[mask].mean(), abs=0.01)
    assert np.asarray(cohort.hu("c1")).shape == (16, 16, 16)


def test_no_identity_reaches_the_cohort(tmp_path):
    (tmp_path / "Canary data").mkdir()
    table = _cohort_files(tmp_path / "Canary data")
    text = table.read_text() + "c4,CanaryGone.nrrd,,,,\nCanary Jones,second.nrrd,CanaryGone.nii,,CanaryTwo,\n"
    table.write_text(text)
    out = tmp_path / "c.zarr"
    summary = ingest([table], out, config=CONFIG, hash_ids=True)
    assert summary.accepted == 3 and len(summary.quarantined) == 2
    series_uid = next(iter(json.loads(summary.private_file.read_text())["cases"]))
    assert len(series_uid) == 16
    for path, content in _tree(out).items():
        assert b"anary" not in content and b"J\xc3\xb6rg" not in content and "anary" not in str(path)
        assert str(tmp_path).encode() not in content
    assert "anary" not in repr(summary.quarantined)
    private = json.loads(summary.private_file.read_text())["cases"]
    assert {case["case_id"] for case in private.values()} == {"c1", "c2", "c3", "c4", "Canary Jones"}
    assert stat.S_IMODE(summary.private_file.stat().st_mode) == 0o600
    for path in [out, *out.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_running_again_changes_nothing_and_what_changed_is_made_anew(tmp_path):
    table, out = _cohort_files(tmp_path), tmp_path / "c.zarr"
    ingest([table], out, config=CONFIG)
    before = _tree(out)
    inodes = {path: path.stat().st_ino for path in out.rglob("zarr.json")}
    ingest([table], out, config=CONFIG)
    assert _tree(out) == before
    assert {path: path.stat().st_ino for path in out.rglob("zarr.json")} == inodes
    write_image(tmp_path / "second.nrrd", chest_hu(seed=9))
    table.write_text(
        table.read_text().replace("c3,third.mha,Canary/mask.nii.gz,,", "c3,third.mha,Canary/mask.nii.gz,5,")
    )
    shutil.rmtree(out / "cases" / "c1")
    ingest([table], out, config=CONFIG)
    after = _tree(out)
    changed = {path.parts[1] for path in before if path.parts[0] == "cases" and after[path] != before[path]}
    assert changed == {"c2", "c3"} and after.keys() == before.keys()
    assert open_cohort(out).case("c3").label == 5


def test_an_interrupted_ingest_converges_to_the_same_tree(tmp_path, monkeypatch):
    table, out = _cohort_files(tmp_path), tmp_path / "c.zarr"
    ingest([table], out, config=CONFIG)
    whole = _tree(out)
    shutil.rmtree(out)

    def stop(done, total, aside):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest([table], out, config=CONFIG, progress=stop)
    (out / ".incoming" / "c2.0123").mkdir(parents=True)
    (out / "cases" / "c3").mkdir(exist_ok=True)
    (out / "cases" / "c3" / "zarr.json").write_text("{")
    ingest([table], out, config=CONFIG)
    assert _tree(out) == whole
    assert not (out / ".incoming").exists()


def test_what_a_killed_call_left_of_the_private_file_goes(tmp_path):
    table = _cohort_files(tmp_path)
    (half := tmp_path / ".c.private.json.0123abcd").write_text('{"key": "')
    (other := tmp_path / ".cc.private.json.0123abcd").write_text("another cohort's")
    ingest([table], tmp_path / "c.zarr", config=CONFIG)
    assert not half.exists() and other.exists()


def test_a_case_that_turns_bad_leaves_the_cohort(tmp_path):
    table, out = _cohort_files(tmp_path), tmp_path / "c.zarr"
    ingest([table], out, config=CONFIG)
    write_image(tmp_path / "second.nrrd", lung_box().astype(np.uint8))
    summary = ingest([table], out, config=CONFIG)
    assert [entry.reason for entry in summary.quarantined] == ["not_hounsfield"]
    assert not (out / "cases" / "c2").exists() and summary.accepted == 2
    assert open_cohort(out).quarantine == summary.quarantined


@pytest.mark.parametrize("name", ["0", "1", "labels/lungs/0", "labels/lungs/1"])
@pytest.mark.parametrize("harm", ["delete", "empty", "flip", "metadata"])
def test_a_damaged_volume_is_made_anew(tmp_path, name, harm):
    write_image(tmp_path / "ct.nrrd", chest_hu())
    write_image(tmp_path / "mask.nrrd", lung_box())
    table, out = tmp_path / "cases.csv", tmp_path / "c.zarr"
    table.write_text("case_id,image,lung_mask\nc1,ct.nrrd,mask.nrrd\n")
    ingest([table], out, config=CONFIG)
    whole = _tree(out)
    array = out / "cases" / "c1" / name
    shard = array / "c" / "0" / "0" / "0"
    if harm == "delete":
        shard.unlink()
    elif harm == "metadata":
        (array / "zarr.json").write_text("{")
    else:
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content if harm == "flip" else b"")
    assert _tree(out) != whole
    ingest([table], out, config=CONFIG)
    assert _tree(out) == whole


@pytest.mark.parametrize("gone", ["Canary/ct", "second.nrrd", "Canary"])
def test_a_stored_case_outlives_its_missing_files(tmp_path, gone):
    table, out = _cohort_files(tmp_path), tmp_path / "c.zarr"
    ingest([table], out, config=CONFIG)
    before = _tree(tmp_path / "c.zarr")
    (tmp_path / gone).rename(tmp_path / "away")
    count, first = {"Canary/ct": (1, "c1"), "second.nrrd": (1, "c2"), "Canary": (3, "c1")}[gone]
    with pytest.raises(UsageError, match=rf"{count} cases? .*stored but .*missing now .*{first}.*unmounted") as caught:
        ingest([table], out, config=CONFIG)
    assert "\n" not in str(caught.value) and _tree(out) == before
    (tmp_path / "away").rename(tmp_path / gone)
    assert ingest([table], out, config=CONFIG).accepted == 3 and _tree(out) == before


@pytest.mark.parametrize("gone", ["second.nrrd", "Canary/mask.nii.gz"])
def test_an_unfinished_cohort_keeps_them_too_and_so_it_is_without_ids(tmp_path, gone):
    table, out = _cohort_files(tmp_path), tmp_path / "c.zarr"
    table.write_text("image,lung_mask\nCanary/ct,Canary/mask.nii.gz\nsecond.nrrd,Canary/mask.nii.gz\n")
    ingest([table], out, config=CONFIG)
    (out / "cases.json").unlink()
    before = _tree(out)
    (tmp_path / gone).unlink()
    with pytest.raises(UsageError, match="missing now"):
        ingest([table], out, config=CONFIG)
    assert _tree(out) == before


def test_files_that_vanish_during_ingest_cost_no_stored_case(tmp_path):
    table, out = _cohort_files(tmp_path), tmp_path / "c.zarr"
    ingest([table], out, config=CONFIG)
    before = _tree(out)
    with pytest.raises(UsageError, match=r"1 case .*missing now \(c3"):
        ingest([table], out, config=CONFIG, progress=lambda *_: (tmp_path / "third.mha").unlink(missing_ok=True))
    assert _tree(out) == before


def test_an_id_that_is_no_folder_name_is_refused_by_line(tmp_path):
    table = _cohort_files(tmp_path)
    table.write_text(table.read_text() + "Canary Jones,second.nrrd,,,,\n")
    with pytest.raises(DataError, match=r"cases\.csv, line 5: case_id is not usable") as caught:
        ingest([table], tmp_path / "c.zarr", config=CONFIG)
    assert "Jones" not in str(caught.value) and not (tmp_path / "c.zarr").exists()


def test_a_file_as_out_is_refused(tmp_path):
    table = _cohort_files(tmp_path)
    (tmp_path / "c.zarr").write_text("precious")
    with pytest.raises(UsageError, match=r"c\.zarr: exists and is not a cohort"):
        ingest([table], tmp_path / "c.zarr", config=CONFIG)
    assert (tmp_path / "c.zarr").read_text() == "precious"
    assert not (tmp_path / "c.private.json").exists()


def test_exit_codes(tmp_path):
    slices = series()
    for dataset in slices:
        dataset.Modality = "MR"
    folder = write_series(tmp_path / "mr", slices)
    summary = ingest([folder], tmp_path / "mr.zarr", config=CONFIG)
    assert summary.accepted == 0 and summary.exit_code == 3
    assert [entry.reason for entry in summary.quarantined] == ["wrong_modality"]
    table = _cohort_files(tmp_path)
    table.write_text(table.read_text() + "c4,gone.nrrd,,,,\n")
    assert ingest([table], tmp_path / "a.zarr", config=CONFIG).exit_code == 0
    assert ingest([table], tmp_path / "a.zarr", config=CONFIG, strict=True).exit_code == 3


def test_forgotten_sources_do_not_drop_cases(tmp_path):
    table, out = _cohort_files(tmp_path), tmp_path / "c.zarr"
    ingest([table], out, config=CONFIG)
    before = _tree(out)
    with pytest.raises(UsageError, match="holds 3 cases that these sources do not give"):
        ingest([tmp_path / "second.nrrd"], out, config=CONFIG)
    assert _tree(out) == before


def test_two_tables_may_not_share_an_id(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "x.nrrd", chest_hu(seed=seed))
        (tmp_path / name / "cases.csv").write_text("case_id,image\nc1,x.nrrd\n")
    with pytest.raises(DataError, match="'c1' names two scans"):
        ingest([tmp_path / "a", tmp_path / "b"], tmp_path / "c.zarr", config=CONFIG)
    assert not (tmp_path / "c.zarr").exists()


def test_ids_without_a_table_are_stable_and_need_the_key(tmp_path):
    table = _cohort_files(tmp_path)
    table.write_text("image,lung_mask\nCanary/ct,Canary/mask.nii.gz\nsecond.nrrd,Canary/mask.nii.gz\n")
    names = []
    for out in ("a.zarr", "a.zarr", "b.zarr"):
        ingest([table], tmp_path / out, config=CONFIG)
        names.append({case.case_id for case in open_cohort(tmp_path / out).cases})
    assert names[0] == names[1] and names[0].isdisjoint(names[2])
    assert all(len(name) == 16 for name in names[0])


def test_the_package_is_cheap_to_import():
    assert dcam_dist.ingest.__all__ == ["IngestSummary", "Part", "PartSummary", "ingest", "ingest_part"]
    with pytest.raises(AttributeError):
        dcam_dist.ingest.nothing  # noqa: B018


def test_a_stored_case_is_not_removed_because_memory_ran_out(tmp_path, monkeypatch):
    table = _cohort_files(tmp_path)
    ingest([table], tmp_path / "c.zarr", config=CONFIG)
    before = _tree(tmp_path / "c.zarr")
    (tmp_path / "c.zarr/cases/c2/1/c/0/0/0").write_bytes(b"")  # so that it is read again

    def too_large(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("dcam_dist.ingest.case.read_image", too_large)
        with pytest.raises(EnvironmentFault, match=r"case c2: stored, .* \(too_large: not enough memory.*nothing was"):
            ingest([table], tmp_path / "c.zarr", config=CONFIG)
    assert (tmp_path / "c.zarr/cases/c2/commit").is_file()
    ingest([table], tmp_path / "c.zarr", config=CONFIG)
    assert _tree(tmp_path / "c.zarr") == before


def test_a_cohort_has_one_writer_at_a_time(tmp_path):
    table = _cohort_files(tmp_path)
    with only_writer(tmp_path / "c.zarr"):
        with pytest.raises(EnvironmentFault, match=rf"another ingest is writing it \(host .*, process {os.getpid()}\)"):
            ingest([table], tmp_path / "c.zarr", config=CONFIG)
        assert not (tmp_path / "c.zarr").exists()
    assert ingest([table], tmp_path / "c.zarr", config=CONFIG).accepted == 3
    assert not list(tmp_path.glob(".*lock"))


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    killed = python(
        [
            "-c",
            "import os, pathlib, signal, sys\n"
            "from dcam_dist.ingest.lock import only_writer\n"
            "with only_writer(pathlib.Path(sys.argv[1])):\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n",
            str(tmp_path / "c.zarr"),
        ]
    )
    assert killed.returncode == -signal.SIGKILL and list(tmp_path.glob(".*lock"))
    with only_writer(tmp_path / "c.zarr"):
        pass
    assert not list(tmp_path.glob(".*lock"))
