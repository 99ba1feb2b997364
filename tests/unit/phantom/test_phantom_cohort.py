"""The cohort on disk: real DICOM, NIfTI, the table, and the same bytes for the same seed."""

import csv
import hashlib
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from dcam_dist.errors import UsageError
from dcam_dist.phantom import GRADES, PARASEPTAL, make_case, write_phantom_cohort
from dcam_dist.phantom.grades import draw_diseases

CASES, SEED, MATRIX = 2, 5, 96


@pytest.fixture(scope="module")
def dicom_cohort(tmp_path_factory):
    return write_phantom_cohort(tmp_path_factory.mktemp("dicom"), cases=CASES, seed=SEED, matrix=MATRIX)


@pytest.fixture(scope="module")
def nifti_cohort(tmp_path_factory):
    out = tmp_path_factory.mktemp("nifti") / "new" / "folder"
    return write_phantom_cohort(out, cases=CASES, seed=SEED, format="nifti", matrix=MATRIX)


def rows(table: Path):
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_series(folder: Path):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def assert_same_space(first, second):
    assert first.GetSize() == second.GetSize()
    assert np.allclose(first.GetOrigin(), second.GetOrigin(), atol=1e-3)
    assert np.allclose(first.GetSpacing(), second.GetSpacing(), atol=1e-4)
    assert np.allclose(first.GetDirection(), second.GetDirection(), atol=1e-6)


def tree_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


@pytest.mark.parametrize("image_format", ["dicom", "nifti"])
def test_the_same_seed_gives_the_same_bytes(tmp_path, image_format, dicom_cohort, nifti_cohort):
    first = (dicom_cohort if image_format == "dicom" else nifti_cohort).parent
    time.sleep(1.1)  # a time stamp in a header would show
    again = write_phantom_cohort(tmp_path / "again", cases=CASES, seed=SEED, format=image_format, matrix=MATRIX)
    assert tree_hash(first) == tree_hash(again.parent)


def test_another_seed_gives_another_cohort(tmp_path, dicom_cohort):
    other = write_phantom_cohort(tmp_path / "other", cases=1, seed=SEED + 1, matrix=MATRIX)
    first, second = (rows(table)[0]["image"] for table in (dicom_cohort, other))
    one, two = (sorted((table.parent / path).iterdir())[0] for table, path in ((dicom_cohort, first), (other, second)))
    assert pydicom.dcmread(one).SeriesInstanceUID != pydicom.dcmread(two).SeriesInstanceUID


def test_the_table(dicom_cohort):
    table = rows(dicom_cohort)
    assert dicom_cohort.name == "cases.csv"
    assert list(table[0])[:6] == ["case_id", "image", "lung_mask", "label", "patient_id", "lesion_mask"]
    assert "split" not in table[0]
    assert [row["case_id"] for row in table] == ["phantom-0001", "phantom-0002"]
    assert [row["patient_id"] for row in table] == ["PHANTOM0001", "PHANTOM0002"]
    for row, disease in zip(table, draw_diseases(CASES, SEED), strict=True):
        assert (row["label"], row["paraseptal"]) == (disease.grade, disease.paraseptal)
        assert row["label"] in GRADES
        assert row["paraseptal"] in PARASEPTAL
        assert row["kernel_type"] in ("smooth", "sharp")
        assert float(row["fev1_percent"]) > 0
        for name in ("image", "lung_mask", "lesion_mask"):
            assert not Path(row[name]).is_absolute()
            assert (dicom_cohort.parent / row[name]).exists()


def test_the_series_is_valid_dicom(dicom_cohort):
    for row in rows(dicom_cohort):
        slices = [pydicom.dcmread(path) for path in sorted((dicom_cohort.parent / row["image"]).iterdir())]
        first = slices[0]
        assert {item.file_meta.TransferSyntaxUID for item in slices} == {ExplicitVRLittleEndian}
        assert {item.SOPClassUID for item in slices} == {CTImageStorage}
        assert all(item.file_meta.MediaStorageSOPInstanceUID == item.SOPInstanceUID for item in slices)
        assert len({item.SOPInstanceUID for item in slices}) == len(slices)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            assert len({item[keyword].value for item in slices}) == 1
            assert UID(first[keyword].value).is_valid
        assert (first.Modality, first.PatientID) == ("CT", row["patient_id"])
        assert (first.ConvolutionKernel, first.Manufacturer) == (row["kernel"], row["manufacturer"])
        assert (first.RescaleSlope, first.RescaleIntercept, first.PixelRepresentation) == (1, -1024, 0)
        assert float(first.SliceThickness) == float(row["slice_mm"])
        assert first.KVP > 0
        heights = [float(item.ImagePositionPatient[2]) for item in slices]
        assert heights != sorted(heights)
        assert heights != sorted(heights, reverse=True)


def test_dicom_gives_back_the_volume_and_the_masks_share_its_space(dicom_cohort):
    disease = draw_diseases(CASES, SEED)
    for index, row in enumerate(rows(dicom_cohort)):
        case = make_case(index, disease[index], seed=SEED, matrix=MATRIX)
        image = read_series(dicom_cohort.parent / row["image"])
        assert np.array_equal(sitk.GetArrayFromImage(image), case.hu)
        assert np.allclose(image.GetSpacing()[::-1], case.protocol.spacing_mm, atol=1e-4)
        for name, mask in (("lung_mask", case.lung_mask), ("lesion_mask", case.lesion_mask)):
            stored = sitk.ReadImage(str(dicom_cohort.parent / row[name]))
            assert_same_space(image, stored)
            assert stored.GetPixelID() == sitk.sitkUInt8
            assert np.array_equal(sitk.GetArrayFromImage(stored), mask)


def test_dicom_and_nifti_are_the_same_scan(dicom_cohort, nifti_cohort):
    for one, other in zip(rows(dicom_cohort), rows(nifti_cohort), strict=True):
        series = read_series(dicom_cohort.parent / one["image"])
        volume = sitk.ReadImage(str(nifti_cohort.parent / other["image"]))
        assert_same_space(series, volume)
        assert volume.GetPixelID() == sitk.sitkInt16
        assert np.array_equal(sitk.GetArrayFromImage(series), sitk.GetArrayFromImage(volume))
        assert {**one, "image": ""} == {**other, "image": ""}


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"cases": 0}, "cases"), ({"seed": -1}, "seed"), ({"format": "png"}, "png"), ({"matrix": 64}, "matrix")],
)
def test_arguments_out_of_range_are_refused(tmp_path, wrong, word):
    with pytest.raises(UsageError, match=word):
        write_phantom_cohort(tmp_path / "out", **{"cases": 1, **wrong})
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_phantom_cohort(tmp_path, cases=1)
    with pytest.raises(UsageError, match="is a file"):
        write_phantom_cohort(tmp_path / "kept", cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
