"""DICOM: a valid series is read where it lies; each fault of an otherwise valid one has its own code."""

import copy

import numpy as np
import pytest
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation
from support.ct_files import SPACING_MM, chest_hu, geometry, series, write_series

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom import group_series, header_covariates, read_series
from dcam_dist.ingest.dicom_headers import read_headers

ALL = {"assume_hu": False, "max_voxels": 10**8}


def _files(folder):
    return tuple(sorted(folder.iterdir()))


def _each(slices, **values):
    for dataset in slices:
        for name, value in values.items():
            setattr(dataset, name, value)


def _shift(slices, offset_of):
    for number, dataset in enumerate(slices):
        moved = np.asarray(dataset.ImagePositionPatient, float) + offset_of(number)
        dataset.ImagePositionPatient = [f"{value:.6g}" for value in moved]


def _duplicate(slices):
    slices.append(copy.deepcopy(slices[4]))
    slices[-1].SOPInstanceUID = slices[-1].file_meta.MediaStorageSOPInstanceUID = generate_uid()


def _tilt(slices):
    _shift(slices, lambda z: np.array([0, np.tan(np.radians(7)) * z * SPACING_MM[0], 0]))


def _drop_rescale(slices):
    for dataset in slices:
        del dataset.RescaleSlope


def _colour(slices):
    _each(slices, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    for dataset in slices:
        dataset.PixelData = dataset.PixelData * 3


def _float_pixels(slices):
    del slices[3].ImagePositionPatient


FAULTS = {
    Reason.WRONG_MODALITY: lambda s: _each(s, Modality="MR"),
    Reason.LOCALIZER: lambda s: _each(s, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    Reason.COLOUR: _colour,
    Reason.SECONDARY_CAPTURE: lambda s: _each(s, BurnedInAnnotation="YES"),
    Reason.ENHANCED_MULTIFRAME: lambda s: _each(s, NumberOfFrames="5"),
    Reason.NO_RESCALE: _drop_rescale,
    Reason.TOO_FEW_SLICES: lambda s: s.__delitem__(slice(9, None)),
    Reason.MISSING_SLICES: lambda s: s.__delitem__(6),
    Reason.DUPLICATE_SLICES: _duplicate,
    Reason.MIXED_SERIES: lambda s: _each(s[::2], ConvolutionKernel="B70f"),
    Reason.UNEVEN_SPACING: lambda s: _shift(s, lambda z: np.array([0, 0, 1.4 if z > 6 else 0])),
    Reason.TILTED: _tilt,
    Reason.BAD_GEOMETRY: _float_pixels,
}


def test_every_header_fault_has_its_own_code(tmp_path):
    for reason, edit in FAULTS.items():
        slices = series()
        edit(slices)
        folder = write_series(tmp_path / str(reason), slices)
        with pytest.raises(CaseRejected) as caught:
            read_series([_files(folder)], **ALL)
        assert caught.value.reason is reason, caught.value
        assert "also" not in caught.value.detail, caught.value
        assert str(tmp_path) not in caught.value.detail


def test_all_faults_are_told(tmp_path):
    slices = series()
    _tilt(slices)
    _drop_rescale(slices)
    del slices[5]
    with pytest.raises(CaseRejected) as caught:
        read_series([_files(write_series(tmp_path / "s", slices))], **ALL)
    assert caught.value.reason is Reason.NO_RESCALE
    assert caught.value.also == (Reason.MISSING_SLICES, Reason.TILTED)


def test_drift_of_the_spacing_is_uneven_though_no_single_gap_is(tmp_path):
    slices = series(chest_hu((40, 24, 28)))
    _shift(slices, lambda z: np.array([0, 0, 0.2 * max(0, z - 20)]))
    with pytest.raises(CaseRejected) as caught:
        read_series([_files(write_series(tmp_path / "s", slices))], **ALL)
    assert caught.value.reason is Reason.UNEVEN_SPACING


@pytest.mark.parametrize("rounding", [0.1, 0.01])
def test_rounded_positions_are_even(tmp_path, rounding):
    where = geometry((30, 24, 28), (0.625, 2.0, 2.0))
    slices = series(chest_hu((30, 24, 28)), where)
    for z, dataset in enumerate(slices):
        dataset.ImagePositionPatient = [-20, 35, f"{round((-300 + 0.625 * z) / rounding) * rounding:.3f}"]
    scan = read_series([_files(write_series(tmp_path / "s", slices))], **ALL)
    assert scan.geometry.spacing_mm[0] == pytest.approx(0.625, abs=rounding / 25)


def test_size_is_judged_from_the_header(tmp_path):
    folder = write_series(tmp_path / "s", series())
    with pytest.raises(CaseRejected) as caught:
        read_series([_files(folder)], assume_hu=False, max_voxels=14 * 24 * 28 - 1)
    assert caught.value.reason is Reason.TOO_LARGE


def test_truncated_pixels_are_unreadable(tmp_path):
    folder = write_series(tmp_path / "s", series())
    victim = _files(folder)[3]
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(CaseRejected) as caught:
        read_series([_files(folder)], **ALL)
    assert caught.value.reason is Reason.UNREADABLE


def test_values_without_air_are_no_hu(tmp_path):
    slices = series()
    _each(slices, RescaleIntercept="0")
    with pytest.raises(CaseRejected) as caught:
        read_series([_files(write_series(tmp_path / "s", slices))], **ALL)
    assert caught.value.reason is Reason.NOT_HOUNSFIELD


def test_assume_hu_reads_a_series_without_rescale_tags(tmp_path):
    slices = series()
    _drop_rescale(slices)
    for dataset, hu_HW in zip(slices, chest_hu(), strict=True):
        del dataset.RescaleIntercept
        dataset.PixelRepresentation = 1
        dataset.PixelData = hu_HW.astype("<i2").tobytes()
    folder = write_series(tmp_path / "s", slices)
    scan = read_series([_files(folder)], assume_hu=True, max_voxels=10**8)
    assert np.array_equal(scan.hu_DHW, np.clip(chest_hu(), -1024, 3071))


@pytest.mark.parametrize(
    "cosines",
    [np.eye(3), np.diag([-1.0, -1.0, 1.0]), Rotation.from_euler("xyz", [6, -4, 9], degrees=True).as_matrix()],
    ids=["axial", "prone", "oblique"],
)
def test_series_is_read_where_it_lies(tmp_path, cosines):
    hu = chest_hu()
    hu[5, 12, 20] = 2500
    where = geometry(cosines=cosines)
    scan = read_series([_files(write_series(tmp_path / "s", series(hu, where)))], **ALL)
    assert scan.format == "dicom"
    assert scan.scan_geometry.shape == hu.shape
    assert np.allclose(scan.scan_geometry.matrix, where.matrix, atol=2e-3)
    planted = np.argwhere(scan.hu_DHW == 2500)[0]
    world = where.matrix @ (20, 12, 5, 1)
    assert np.allclose(scan.geometry.matrix @ (*planted[::-1], 1), world, atol=5e-3)
    assert (np.diag(scan.geometry.matrix) > 0).all()


def test_each_slice_has_its_own_rescale(tmp_path):
    slices = series()
    slices[2].RescaleSlope, slices[2].RescaleIntercept = "0.5", "-1024"
    stored = (chest_hu()[2].astype(np.int32) + 1024) * 2
    slices[2].PixelData = stored.astype("<u2").tobytes()
    scan = read_series([_files(write_series(tmp_path / "s", slices))], **ALL)
    assert np.array_equal(scan.hu_DHW, np.clip(chest_hu(), -1024, 3071))


def test_padding_becomes_air(tmp_path):
    hu = chest_hu()
    hu[:, :2] = -3024
    slices = series(hu)
    for dataset, hu_HW in zip(slices, hu, strict=True):
        dataset.PixelRepresentation = 1
        dataset.PixelData = (hu_HW + 1024).astype("<i2").tobytes()
    scan = read_series([_files(write_series(tmp_path / "s", slices))], **ALL)
    assert (scan.hu_DHW[:, :2] == -1000).all()


def test_files_are_grouped_by_series_orientation_and_matrix(tmp_path):
    uid = generate_uid()
    main, other = series(uid=uid), series()
    turned = series(where=geometry(cosines=Rotation.from_euler("x", 20, degrees=True).as_matrix()), uid=uid)[:4]
    wobbling = [f"{value + 1e-5:.6f}" for value in (1, 0, 0, 0, 1, 0)]
    main[3].ImageOrientationPatient = wobbling
    write_series(tmp_path / "s", main, prefix="a")
    write_series(tmp_path / "s", other[:12], prefix="b")
    write_series(tmp_path / "s", turned, prefix="c")
    groups = group_series(header for _, header in read_headers(_files(tmp_path / "s")) if header)
    assert sorted(len(group) for group in groups) == [4, 12, 14]
    of_uid = [len(group) for group in groups if group[0].series_uid == uid]
    assert of_uid == [14, 4]


def test_the_first_valid_candidate_is_read_and_the_first_fault_told(tmp_path):
    broken = series()
    _tilt(broken)
    bad, good = write_series(tmp_path / "bad", broken), write_series(tmp_path / "good", series())
    assert read_series([_files(bad), _files(good)], **ALL).hu_DHW.shape == chest_hu().shape
    few = write_series(tmp_path / "few", series()[:3])
    with pytest.raises(CaseRejected) as caught:
        read_series([_files(bad), _files(few)], **ALL)
    assert caught.value.reason is Reason.TILTED


def test_covariates_come_from_an_allow_list_without_free_text(tmp_path):
    slices = series()
    _each(
        slices, ConvolutionKernel="Canary Jones", Manufacturer="Canary Inc.", ContrastBolusAgent="Canary 300", KVP="9"
    )
    (_, header), *_ = read_headers(_files(write_series(tmp_path / "s", slices)))
    assert header_covariates(header) == {
        "contrast": "yes",
        "kernel": "other",
        "manufacturer": "other",
        "slice_thickness_mm": "3",
        "kvp": "9",
    }
    (_, plain), *_ = read_headers(_files(write_series(tmp_path / "t", series())))
    assert header_covariates(plain)["kernel"] == "B30f" and header_covariates(plain)["manufacturer"] == "siemens"


@pytest.mark.parametrize("name", ["STANDARD", "B70f", "FC51", "Br40d", "L", "YA", "I31s", "Qr40"])
def test_real_kernel_names_are_kept(tmp_path, name):
    slices = series()[:1]
    _each(slices, ConvolutionKernel=[name, "3"])
    (_, header), *_ = read_headers(_files(write_series(tmp_path / "s", slices)))
    assert header_covariates(header)["kernel"] == name


def test_malformed_headers_read_as_absent(tmp_path, recwarn, caplog):
    slices = series()[:1]
    path = _files(write_series(tmp_path / "s", slices))[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"-20\\35\\-300", b"Mu\\ller^Jg"[:11].ljust(11)))
    (_, header), *_ = read_headers([path])
    assert header is not None and header.position is None
    junk = tmp_path / "junk.dcm"
    for size in (0, 10, 132, 600):
        junk.write_bytes(content[:size])
        read_headers([junk])
    assert not recwarn.list and "Jg" not in caplog.text
