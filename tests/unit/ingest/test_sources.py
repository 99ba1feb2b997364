"""What the user names becomes a list of scans; what is wrong with one of them stays with that one."""

import copy
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from support.ct_files import chest_hu, geometry, lung_box, series, write_image, write_series

from dcam_dist.config.schema import FLEISCHNER_GRADES
from dcam_dist.errors import DataError, Reason, UsageError
from dcam_dist.ingest.sources import find_scans
from dcam_dist.types import UNASSIGNED


def _find(*paths):
    return find_scans(paths, FLEISCHNER_GRADES)


def _table(folder, text):
    path = folder / "cases.csv"
    path.write_text(text)
    return path


def test_a_tree_of_mixed_files(tmp_path):
    write_series(tmp_path / "a" / "deep", series(patient="Jones"))
    write_series(tmp_path / "a" / "deep", series(patient="Jones"), prefix="second")
    write_image(tmp_path / "b.nrrd", chest_hu())
    write_image(tmp_path / "c.mhd", chest_hu(seed=1))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "LICENSE").write_text("free")
    (tmp_path / "damaged.dcm").write_bytes(b"nothing")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    scans = _find(tmp_path)
    usable = [scan for scan in scans if scan.fault is None]
    assert sorted(scan.kind for scan in usable) == ["dicom", "dicom", "image", "image"]
    assert [scan.fault[0] for scan in scans if scan.fault] == [Reason.UNREADABLE]
    dicom = [scan for scan in usable if scan.kind == "dicom"]
    assert {scan.patient for scan in dicom} == {"patient:Jones"}
    assert dicom[0].identity != dicom[1].identity
    assert all(len(scan.candidates) == 1 and len(scan.candidates[0]) == 14 for scan in dicom)


def test_identity_is_content_not_place(tmp_path):
    (tmp_path / "one").mkdir()
    write_image(tmp_path / "one" / "b.nrrd", chest_hu())
    write_series(tmp_path / "one" / "s", series(uid="1.2.3"))
    before = {scan.identity for scan in _find(tmp_path / "one")}
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "b.nrrd").rename(tmp_path / "two" / "renamed.nrrd")
    assert {scan.identity for scan in _find(tmp_path / "two")} == before
    assert "series:1.2.3" in before


def test_overlapping_sources_count_once(tmp_path):
    folder = write_series(tmp_path / "s", series())
    image = write_image(tmp_path / "b.nrrd", chest_hu())
    scans = _find(tmp_path, folder, image, next(folder.iterdir()))
    assert len(scans) == 2
    assert {len(scan.candidates[0]) for scan in scans} == {1, 14}


def test_a_stray_orientation_is_set_aside(tmp_path):
    main = series(uid="1.2.3")
    scout = copy.deepcopy(main[0])
    scout.ImageOrientationPatient, scout.ImageType = [1, 0, 0, 0, 0, -1], ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SOPInstanceUID = scout.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"
    odd = series(chest_hu((3, 20, 28)), geometry((3, 20, 28), origin=(-20, 35, -400)), uid="1.2.3")
    write_series(tmp_path / "s", main)
    write_series(tmp_path / "s", [scout], prefix="scout")
    write_series(tmp_path / "s", odd, prefix="odd")
    faults = {scan.identity: scan.fault and scan.fault[0] for scan in _find(tmp_path / "s")}
    assert faults.pop("series:1.2.3") is None
    assert sorted(faults.values()) == [Reason.LOCALIZER, Reason.MIXED_SERIES]


def test_symbolic_links_are_not_followed(tmp_path):
    real = write_series(tmp_path / "real", series())
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(real)
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    with pytest.raises(DataError, match="links inside folders"):
        _find(tmp_path / "tree")


@pytest.mark.parametrize("name", ["nothing", "a.nrrd", "cases.csv"])
def test_missing_sources(tmp_path, name):
    with pytest.raises(UsageError, match="no such file or folder"):
        _find(tmp_path / name)


def test_empty_folder_and_strange_file_are_one_line(tmp_path):
    with pytest.raises(DataError) as caught:
        _find(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt: neither"):
        _find(tmp_path / "notes.txt")


def test_rows_of_a_table(tmp_path):
    write_series(tmp_path / "scans" / "ct", series(patient="Jones"))
    write_image(tmp_path / "scans" / "b.nii.gz", chest_hu())
    write_image(tmp_path / "mask.nrrd", lung_box())
    table = _table(
        tmp_path,
        "case_id,image,lung_mask,split,label,patient_id,FEV1\n"
        "one,scans/ct,mask.nrrd,Test,Mild,,80\n"
        "two,scans/b.nii.gz,,,,P9,\n"
        f",{tmp_path}/scans/b.nii.gz,,train,5,,\n",
    )
    one, two, three = _find(table)
    assert (one.given_id, one.patient, one.split, one.label) == ("one", "patient:Jones", "test", 2)
    assert one.lung_mask == tmp_path / "mask.nrrd" and one.covariates == (("FEV1", "80"),)
    assert (two.patient, two.split, two.label) == ("patient:P9", None, UNASSIGNED)
    assert three.given_id is None and three.identity.startswith("image:") and three.label == 5
    assert _find(tmp_path) == (one, two, three), "a folder with a table is read by its table"


def test_bad_rows_are_faults_of_their_own(tmp_path):
    write_image(tmp_path / "b.nrrd", chest_hu())
    (tmp_path / "empty").mkdir()
    (tmp_path / "t.txt").write_text("x")
    rows = [
        ("gone.nrrd,,,", Reason.MISSING_FILE),
        ("empty,,,", Reason.MISSING_FILE),
        (f"{'x' * 300},,,", Reason.MISSING_FILE),
        ("t.txt,,,", Reason.UNSUPPORTED_FORMAT),
        ("..,,,", Reason.UNSUPPORTED_FORMAT),
        ("/,,,", Reason.UNSUPPORTED_FORMAT),
        ("b.nrrd,gone.nii,,", Reason.MISSING_FILE),
        ("b.nrrd,,validation,", Reason.BAD_SPLIT),
        ("b.nrrd,,,dreadful", Reason.BAD_LABEL),
        ("b.nrrd,,,", None),
    ]
    lines = [f"c{index},{cells}" for index, (cells, _) in enumerate(rows)]
    scans = _find(_table(tmp_path, "case_id,image,lung_mask,split,label\n" + "\n".join(lines) + "\n"))
    assert [scan.fault and scan.fault[0] for scan in scans] == [reason for _, reason in rows]
    assert [scan.given_id for scan in scans] == [f"c{index}" for index in range(len(rows))]
    assert all("gone" not in scan.fault[1] and str(tmp_path) not in scan.fault[1] for scan in scans if scan.fault)


def test_the_largest_ct_series_of_a_folder_is_preferred(tmp_path):
    small, large, mr = series(chest_hu()[:11]), series(), series(chest_hu((20, 24, 28)))
    for dataset in mr:
        dataset.Modality = "MR"
    for prefix, slices in (("a", small), ("b", large), ("c", mr)):
        write_series(tmp_path / "ct", slices, prefix=prefix)
    (tmp_path / "ct" / "broken.dcm").write_bytes(b"x")
    (scan,) = _find(_table(tmp_path, "image\nct\n"))
    assert [len(files) for files in scan.candidates] == [14, 11, 20]
    assert scan.identity == f"series:{large[0].SeriesInstanceUID}"
    assert scan.flags == ("several_series", "unreadable_files")


def test_ties_go_by_a_hash_of_the_series(tmp_path):
    first, second = series(uid="1.2.3"), series(uid="1.2.4")
    write_series(tmp_path / "a" / "ct", first, prefix="a")
    write_series(tmp_path / "a" / "ct", second, prefix="b")
    write_series(tmp_path / "b" / "ct", first, prefix="b")
    write_series(tmp_path / "b" / "ct", second, prefix="a")
    (one,), (two,) = (_find(_table(tmp_path / name, "image\nct\n")) for name in "ab")
    assert one.identity == two.identity


def test_without_a_patient_the_study_or_the_case_stands_in(tmp_path):
    slices = series()
    for dataset in slices:
        del dataset.PatientID
    write_series(tmp_path / "ct", slices)
    (scan,) = _find(tmp_path / "ct")
    assert scan.patient == f"study:{slices[0].StudyInstanceUID}"
    write_image(tmp_path / "b.nrrd", chest_hu())
    (row,) = _find(_table(tmp_path, "case_id,image\nx1,b.nrrd\n"))
    assert row.patient == "given:x1"


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, for a test without the rights of root, which may read anything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def _unprivileged():
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def _faults(*paths):
    with _unprivileged():
        return [scan.fault for scan in _find(*paths)]


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_folder_that_may_not_be_entered_is_set_aside(open_folder, mode):
    write_series(open_folder / "a", series())
    closed = write_series(open_folder / "closed", series())
    closed.chmod(mode)
    whole, fault = _faults(open_folder)
    assert whole is None and fault is not None and fault[0] is Reason.UNREADABLE


def test_a_closed_folder_alone_is_set_aside_and_not_said_to_be_empty(open_folder):
    closed = write_series(open_folder / "closed", series())
    closed.chmod(0)
    for source in (open_folder, closed):
        assert [fault[0] for fault in _faults(source)] == [Reason.UNREADABLE]
    with pytest.raises(UsageError, match="no such file or folder"):
        _faults(closed / "IM0001.dcm")


def test_a_row_whose_folder_cannot_be_read_whole_is_set_aside(open_folder):
    write_series(open_folder / "scan", series())
    write_series(open_folder / "scan" / "more", series()).chmod(0)
    assert [fault[0] for fault in _faults(_table(open_folder, "image\nscan\n"))] == [Reason.UNREADABLE]


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.10008.1", "scan.old", "IM0001.dcm"])
def test_files_that_may_not_be_opened_are_set_aside_whatever_their_name(open_folder, name):
    write_series(open_folder, series())
    for place in (name, f"x{name}"):
        (open_folder / place).write_bytes(b"secret")
        (open_folder / place).chmod(0)
    whole, fault = _faults(open_folder)
    assert whole is None and fault == (Reason.UNREADABLE, "files that cannot be opened: 2")


def test_files_without_preamble_are_found_under_names_of_digits_and_dots(tmp_path):
    (tmp_path / "s").mkdir()
    for number, dataset in enumerate(series()):
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.save_as(tmp_path / "s" / f"1.2.840.113619.{number}", enforce_file_format=False)
    for path in (tmp_path / "s").iterdir():
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"\x08\x00\x05\x00") :])
    (tmp_path / "s" / "notes.1").write_text("hello")
    (scan,) = _find(tmp_path / "s")
    assert scan.fault is None and len(scan.candidates[0]) == 14


def test_an_entry_of_unreadable_files_is_the_same_however_many_there_are(tmp_path):
    (tmp_path / "one.dcm").write_bytes(b"x")
    (first,) = _find(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"y")
    (second,) = _find(tmp_path)
    assert first.identity == second.identity and second.fault[1] == "files that are no readable DICOM: 2"


def test_rows_of_unreadable_files_of_one_folder_stay_apart(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(b"x")
    found = _find(_table(tmp_path, "image\na.dcm\nb.dcm\n"))
    assert [scan.fault[0] for scan in found] == [Reason.UNREADABLE] * 2
