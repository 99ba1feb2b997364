"""Which series a case was made from: by place and by voxels, or one clear line."""

import shutil
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from support.ct_files import write_image, write_series
from support.enhanced_ct import enhanced_ct, write_enhanced
from support.planted_lesion import LAYOUTS, LESION_MM, draw_chest
from support.planted_maps import write_objects

from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest import ingest
from dcam_dist.ingest.dicom_tilt import TILT_RESAMPLED
from dcam_dist.maps.dicom import find_series

OBLIQUE = list(LAYOUTS.values())[1]


@pytest.fixture
def record(planted):
    return planted.cohort.case("scan1")


@pytest.fixture
def slices(planted):
    return [pydicom.dcmread(path) for path in sorted((planted.scans / "ct1").iterdir())]


def test_the_series_is_found_among_others_by_its_place_and_voxels(planted, record, slices):
    found = find_series(planted.scans, record)
    assert found.series_uid == slices[0].SeriesInstanceUID
    assert found.geometry == record.scan
    assert len(found.datasets) == len(slices) and "PixelData" not in found.datasets[0]


def test_another_scan_of_the_patient_at_the_same_place_is_not_it(planted, record, slices, tmp_path):
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, "<u2").copy()
        stored[0] += 1  # one voxel a slice
        dataset.PixelData = stored.tobytes()
    write_series(tmp_path / "other", slices)
    with pytest.raises(DataError, match=r"none of its 1 series is the scan of case scan1; give the folder"):
        find_series(tmp_path / "other", record)


def test_the_same_voxels_at_another_place_are_not_it(record, slices, tmp_path):
    for dataset in slices:
        dataset.ImagePositionPatient[0] = float(dataset.ImagePositionPatient[0]) + 0.5
    write_series(tmp_path / "moved", slices)
    with pytest.raises(DataError, match="none of its 1 series"):
        find_series(tmp_path / "moved", record)


def test_two_copies_under_two_uids_are_refused(planted, record, slices, tmp_path):
    for number, dataset in enumerate(slices):
        dataset.SeriesInstanceUID = "1.2.3"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
    write_series(tmp_path / "copy", slices)
    shutil.copytree(planted.scans / "ct1", tmp_path / "ct1")
    with pytest.raises(DataError, match="2 series fit of case scan1"):
        find_series(tmp_path, record)


def test_a_series_that_fits_but_is_at_fault_says_why(record, slices, tmp_path):
    for dataset in slices:
        dataset.BurnedInAnnotation = "YES"
    write_series(tmp_path / "burned", slices)
    with pytest.raises(DataError, match=r"unusable .burned_in_annotation: annotation is burned"):
        find_series(tmp_path / "burned", record)


def test_no_folder_and_a_tilted_gantry_are_one_line_each(record, tmp_path):
    with pytest.raises(UsageError, match=r"^--source-dicom: no such folder"):
        find_series(tmp_path / "nowhere", record)
    with pytest.raises(DataError, match="resampled from a tilted gantry"):
        find_series(tmp_path, replace(record, flags=(TILT_RESAMPLED,)))


def test_an_enhanced_object_is_referred_to_frame_by_frame(planted, slices, tmp_path):
    order = np.random.default_rng(3).permutation(len(slices))
    whole = enhanced_ct([slices[place] for place in order])
    write_enhanced(tmp_path / "enhanced", whole)
    files = write_objects(planted, "scan1", tmp_path / "enhanced", tmp_path)
    made = pydicom.dcmread(files[0])
    source = [tuple(f.PlanePositionSequence[0].ImagePositionPatient) for f in whole.PerFrameFunctionalGroupsSequence]
    places = []
    for frame, values in zip(made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True):
        position = tuple(frame.PlanePositionSequence[0].ImagePositionPatient)
        (reference,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == whole.SOPInstanceUID
        number = reference.ReferencedFrameNumber
        assert source[int(number) - 1] == position
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 3:
            rows, columns = np.nonzero(values)
            matrix = OBLIQUE.geometry.matrix[:3, :2]
            places.append(np.array(position, dtype=float) + np.stack([columns, rows], axis=1) @ matrix.T)
    assert np.linalg.norm(np.concatenate(places).mean(axis=0) - LESION_MM) < 4


def test_headers_that_lack_names_or_hold_another_sex_are_made_good(planted, slices, tmp_path):
    for dataset in slices:
        del dataset.PatientName
        dataset.PatientSex = "UNKNOWN"
    write_series(tmp_path / "bare", slices)
    files = write_objects(planted, "scan1", tmp_path / "bare", tmp_path)
    read = [pydicom.dcmread(file) for file in files]
    assert [(one.PatientName, one.PatientSex) for one in read] == [("", "")] * 5


def test_slices_without_a_frame_of_reference_are_one_line_without_their_values(planted, slices, tmp_path):
    for dataset in slices:
        del dataset.FrameOfReferenceUID
    write_series(tmp_path / "nowhere", slices)
    with pytest.raises(DataError, match=r"^case scan1: the headers of its slices .* \(\w+Error\); the NIfTI") as told:
        write_objects(planted, "scan1", tmp_path / "nowhere", tmp_path)
    assert told.value.__cause__ is None and "Canary" not in str(told.value)
    assert list((tmp_path / "identified-dicom").iterdir()) == []


@pytest.fixture(scope="module")
def from_nifti(tmp_path_factory):
    """The oblique scan as another tool would hand it on: in NIfTI, its rows the other way round."""
    root = tmp_path_factory.mktemp("from-nifti")
    hu, lungs = draw_chest(OBLIQUE.geometry)
    matrix = OBLIQUE.geometry.matrix
    matrix[:3, 3] += matrix[:3, 1] * (hu.shape[1] - 1)
    matrix[:3, 1] *= -1
    turned = OBLIQUE.geometry.from_matrix(hu.shape, matrix)
    write_image(root / "ct.nii.gz", np.ascontiguousarray(hu[:, ::-1]), turned)
    write_image(root / "lungs.nii.gz", np.ascontiguousarray(lungs[:, ::-1]), turned)
    (root / "cases.csv").write_text("case_id,image,lung_mask\nscan1,ct.nii.gz,lungs.nii.gz\n")
    config = load_config(None, ["grid.shape=[32,32,48]", "ingest.workers=1"])
    ingest([root / "cases.csv"], root / "c.zarr", config=config, strict=True)
    return open_cohort(root / "c.zarr")


def test_a_case_that_was_ingested_as_nifti_finds_its_slices(planted, from_nifti, tmp_path):
    record = from_nifti.case("scan1")
    assert record.provenance["format"] == "nifti"
    assert record.scan.matrix[1, 1] * OBLIQUE.geometry.matrix[1, 1] < 0
    found = find_series(planted.scans, record)
    np.testing.assert_allclose(found.geometry.matrix, planted.cohort.case("scan1").scan.matrix)
    files = write_objects(replace(planted, cohort=from_nifti), "scan1", planted.scans, tmp_path / "nifti")
    same = write_objects(planted, "scan1", planted.scans, tmp_path / "dicom")
    for one, other in zip(files, same, strict=True):
        assert pydicom.dcmread(one).SeriesInstanceUID == pydicom.dcmread(other).SeriesInstanceUID
    ours, theirs = (pydicom.dcmread(written[0]).pixel_array for written in (files, same))
    assert ours.shape == theirs.shape and (ours != theirs).mean() < 1e-3
