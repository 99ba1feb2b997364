"""What the DICOM objects say, read back by pydicom, by highdicom's readers, and by dciodvfy where it is installed."""

import shutil
import stat
import subprocess
import sys

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from support.planted_lesion import LESION_MM, MIDDLE_MM
from support.planted_maps import NAMES, RUN, dark_scene, write_objects

from dcam_dist import __version__
from dcam_dist.errors import EnvironmentFault
from dcam_dist.maps import dicom, export_case, style

CASE = "scan1"  # oblique
FILES = ["winner.dcm", "lungs.dcm", "dcam-cluster-1.dcm", "dcam-cluster-2.dcm", "dcam-cluster-3.dcm"]


@pytest.fixture(scope="module")
def folder(planted, tmp_path_factory):
    home = tmp_path_factory.mktemp("objects")
    files = write_objects(planted, CASE, planted.scans / "ct1", home)
    assert [file.name for file in files] == FILES
    return home / "identified-dicom"


@pytest.fixture(scope="module")
def slices(planted):
    read = [pydicom.dcmread(path) for path in (planted.scans / "ct1").iterdir()]
    return {dataset.SOPInstanceUID: dataset for dataset in read}


def volume_of(image):
    volume = image.get_volume(combine_segments=True) if image.Modality == "SEG" else image.get_volume()
    return volume.array, volume.affine


@pytest.mark.parametrize("name", FILES)
def test_every_frame_lies_on_the_slice_that_it_refers_to(folder, slices, name):
    made = pydicom.dcmread(folder / name)
    shared = made.SharedFunctionalGroupsSequence[0]
    assert len(made.PerFrameFunctionalGroupsSequence) == made.NumberOfFrames > 10
    for frame in made.PerFrameFunctionalGroupsSequence:
        (reference,) = frame.DerivationImageSequence[0].SourceImageSequence
        source = slices[reference.ReferencedSOPInstanceUID]
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        assert [float(value) for value in position] == [float(value) for value in source.ImagePositionPatient]
        assert made.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert (made.Rows, made.Columns) == (source.Rows, source.Columns)
        np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing)
        axes = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        np.testing.assert_allclose(axes, source.ImageOrientationPatient, atol=1e-8)


@pytest.mark.parametrize("name", FILES)
def test_they_belong_to_the_patients_study_under_uids_of_their_own(folder, slices, name):
    made, source = pydicom.dcmread(folder / name), next(iter(slices.values()))
    assert (made.PatientID, made.PatientName) == (source.PatientID, source.PatientName) == ("PATIENT-1", "Canary^Jörg")
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.SeriesInstanceUID.startswith("2.25.") and made.SOPInstanceUID.startswith("2.25.")
    assert made.SoftwareVersions == __version__ and made.Manufacturer == "dcam_dist"
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_written_again_they_are_the_same_and_of_another_run_they_are_others(planted, folder, tmp_path):
    before = {name: (folder / name).read_bytes() for name in FILES}
    write_objects(planted, CASE, planted.scans, folder.parent)
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    uids = []
    for place, run in (("again", RUN), ("other", "ff" * 32)):
        files = write_objects(planted, CASE, planted.scans, tmp_path / place, run)
        read = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        uids.append([(one.SeriesInstanceUID, one.SOPInstanceUID) for one in read])
    first = [pydicom.dcmread(folder / name, stop_before_pixels=True) for name in FILES]
    assert uids[0] == [(one.SeriesInstanceUID, one.SOPInstanceUID) for one in first]
    assert not {uid for pair in uids[0] for uid in pair} & {uid for pair in uids[1] for uid in pair}
    assert len({uid for pair in uids[0] for uid in pair}) == 2 * len(FILES)


def test_the_winner_says_what_its_segments_are_and_how_they_look(folder):
    seg = highdicom.seg.segread(folder / "winner.dcm")
    assert seg.segmentation_type == highdicom.seg.SegmentationTypeValues.BINARY and seg.SegmentsOverlap == "NO"
    for number, title in enumerate(NAMES.titles, start=1):
        about = seg.get_segment_description(number)
        assert (about.segment_label, about.segmented_property_type.value) == (title, f"dcam-cluster-{number}")
        assert about.anatomic_regions[0].meaning == "Lung"
        (algorithm,) = about.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("dcam_dist", __version__)
        assert RUN in algorithm.AlgorithmParameters
        shown = highdicom.color.CIELabColor.from_dicom_value(tuple(about.RecommendedDisplayCIELabValue)).to_rgb()
        np.testing.assert_allclose(shown, 255 * style.winner_colours(3)[number - 1, :3], atol=2)


def test_the_right_lung_is_the_patients(folder):
    seg = highdicom.seg.segread(folder / "lungs.dcm")
    array, affine = volume_of(seg)
    for number, title, side in ((1, "right lung", -1), (2, "left lung", 1)):
        about = seg.get_segment_description(number)
        assert about.segment_label == title and about.segmented_property_type.meaning == title.capitalize()
        centre = affine @ [*np.argwhere(array == number).mean(axis=0), 1]
        assert side * (centre[0] - MIDDLE_MM[0]) > 30


def test_highdicoms_reader_finds_the_lesion_too(folder):
    winner, dark = highdicom.seg.segread(folder / "winner.dcm"), highdicom.imread(folder / "dcam-cluster-3.dcm")
    for image, wanted in ((winner, lambda a: a == 3), (dark, lambda a: a > 0)):
        array, affine = volume_of(image)
        centre = affine @ [*np.argwhere(wanted(array)).mean(axis=0), 1]
        assert np.linalg.norm(centre[:3] - LESION_MM) < 4


def test_a_parametric_map_holds_the_logits_of_the_nifti_file_and_their_unit(planted, folder, tmp_path):
    export_case(dark_scene(planted.cohort, CASE), tmp_path, NAMES)
    made = pydicom.dcmread(folder / "dcam-cluster-3.dcm")
    values = np.frombuffer(made.FloatPixelData, "<f4").reshape(made.NumberOfFrames, made.Rows, made.Columns)
    up = [frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in made.PerFrameFunctionalGroupsSequence]
    nifti = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "dcam-cluster-3.nii.gz")))
    np.testing.assert_array_equal(values[np.argsort(up)[::-1]], nifti)  # its slices go down
    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert (mapping.DoubleFloatRealWorldValueFirstValueMapped, made.ContentLabel) == (values.min(), "DCAM_CLUSTER_3")
    assert made.ContentQualification == "RESEARCH"


@pytest.mark.parametrize("name", FILES)
def test_a_validator_finds_no_error(folder, name):
    if shutil.which("dciodvfy") is None:
        pytest.skip("no dciodvfy (Debian package dicom3tools)")
    call = subprocess.run(["dciodvfy", "-new", folder / name], capture_output=True, text=True, check=False)
    said = (call.stdout + call.stderr).splitlines()
    assert [line for line in said if line.startswith("Error")] == []
    assert {"Segmentation", "ParametricMap"} & set(said)  # it has read it


def test_without_highdicom_the_extra_is_named(planted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(EnvironmentFault, match=r"package highdicom.* pip install 'dcam-dist\[dicom\]'"):
        write_objects(planted, CASE, planted.scans, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_one_clear_line(planted, tmp_path):
    (tmp_path / dicom.FOLDER).write_text("")
    with pytest.raises(EnvironmentFault, match="identified-dicom: cannot be written"):
        write_objects(planted, CASE, planted.scans, tmp_path)
