"""DICOM: a valid series is read where it lies, and files are told apart into series."""

import numpy as np
import pytest
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation
from support.ct_files import chest_hu, geometry, series, write_series
from support.dicom_faults import drop, each, tilt

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom import group_series, header_covariates, read_series
from dcam_dist.ingest.dicom_headers import claims_dicom, looks_like_dicom, read_headers
from dcam_dist.ingest.scan_source import SERIES_INCOMPLETE, dicom_sources
from dcam_dist.ingest.search import Search
from dcam_dist.ingest.sources import find_scans


def _files(folder):
    return tuple(sorted(folder.iterdir()))


def _read(*folders, assume_hu=False):
    return read_series([_files(folder) for folder in folders], IngestConfig(), assume_hu=assume_hu)


@pytest.mark.parametrize("rounding", [0.1, 0.01])
def test_rounded_positions_are_even(tmp_path, rounding):
    where = geometry((30, 24, 28), (0.625, 2.0, 2.0))
    slices = series(chest_hu((30, 24, 28)), where)
    for z, dataset in enumerate(slices):
        dataset.ImagePositionPatient = [-20, 35, f"{round((-300 + 0.625 * z) / rounding) * rounding:.3f}"]
    scan = _read(write_series(tmp_path / "s", slices))
    assert scan.geometry.spacing_mm[0] == pytest.approx(0.625, abs=rounding / 25)


def test_assume_hu_reads_a_series_without_rescale_tags(tmp_path):
    slices = series()
    drop(slices, "RescaleSlope")
    for dataset, hu_HW in zip(slices, chest_hu(), strict=True):
        del dataset.RescaleIntercept
        dataset.PixelRepresentation = 1
        dataset.PixelData = hu_HW.astype("<i2").tobytes()
    folder = write_series(tmp_path / "s", slices)
    scan = _read(folder, assume_hu=True)
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
    scan = _read(write_series(tmp_path / "s", series(hu, where)))
    assert scan.format == "dicom"
    assert scan.scan_geometry.shape == hu.shape
    assert np.allclose(scan.scan_geometry.matrix, where.matrix, atol=2e-3)
    planted = np.argwhere(scan.hu_DHW == 2500)[0]
    world = where.matrix @ (20, 12, 5, 1)
    assert np.allclose(scan.geometry.matrix @ (*planted[::-1], 1), world, atol=5e-3)
    assert (np.diag(scan.geometry.matrix) > 0).all()


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
    tilt(broken)
    bad, good = write_series(tmp_path / "bad", broken), write_series(tmp_path / "good", series())
    assert _read(bad, good).hu_DHW.shape == chest_hu().shape
    few = write_series(tmp_path / "few", series()[:3])
    with pytest.raises(CaseRejected) as caught:
        _read(bad, few)
    assert caught.value.reason is Reason.TILTED


def test_covariates_come_from_an_allow_list_without_free_text(tmp_path):
    slices = series()
    each(
        slices, ConvolutionKernel="Canary Jones", Manufacturer="Canary Inc.", ContrastBolusAgent="Canary 300", KVP="80"
    )
    (_, header), *_ = read_headers(_files(write_series(tmp_path / "s", slices)))
    assert header_covariates(header) == {
        "contrast": "yes",
        "kernel": "other",
        "manufacturer": "other",
        "slice_thickness_mm": "3",
        "kvp": "80",
    }
    (_, plain), *_ = read_headers(_files(write_series(tmp_path / "t", series())))
    assert header_covariates(plain)["kernel"] == "B30f" and header_covariates(plain)["manufacturer"] == "siemens"


def _covariates(folder, **values):
    slices = series()[:1]
    each(slices, **values)
    (_, header), *_ = read_headers(_files(write_series(folder, slices)))
    return header_covariates(header)


@pytest.mark.parametrize("number", ["19571123", "39", "201", "0.01", "nan"])
def test_what_is_no_tube_voltage_or_thickness_is_not_kept(tmp_path, number):
    found = _covariates(tmp_path / "s", KVP=number, SliceThickness=number)
    assert not {"kvp", "slice_thickness_mm"} & found.keys()


@pytest.mark.parametrize(("agent", "kept"), [(None, None), ("", None), ("NONE", "no"), ("no", "no"), ("IV", "yes")])
def test_contrast_is_unknown_where_nothing_is_said(tmp_path, agent, kept):
    found = _covariates(tmp_path / "s", **({} if agent is None else {"ContrastBolusAgent": agent}))
    assert found.get("contrast") == kept


@pytest.mark.parametrize("name", ["JD", "Jo57", "MUELLER", "1957", "K1957", "Jd12ab", "FC1957", "B30fx", "Li"])
def test_what_no_vendor_calls_a_kernel_is_not_kept(tmp_path, name):
    assert _covariates(tmp_path / "s", ConvolutionKernel=[name, "3"])["kernel"] == "other"


@pytest.mark.parametrize(
    "name",
    [
        *("STANDARD", "BONEPLUS", "B70f", "Br40d", "Bl57d", "Qr40", "H31s", "I31s", "U90u"),
        *("L", "YA", "FC51", "FC08"),
    ],
)
def test_real_kernel_names_are_kept(tmp_path, name):
    slices = series()[:1]
    each(slices, ConvolutionKernel=[name, "3"])
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


def test_slices_that_stray_from_their_series_tell_all_that_is_wrong(tmp_path):
    uid = generate_uid()
    write_series(tmp_path / "s", series(uid=uid), prefix="a")
    turned = geometry(cosines=Rotation.from_euler("x", 20, degrees=True).as_matrix(), origin=(-20, 35, -400))
    strays, scout = series(where=turned, uid=uid)[:4], series(chest_hu((2, 30, 28)), uid=uid)
    drop(strays, "RescaleSlope")
    each(scout, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(tmp_path / "s", strays, prefix="b")
    write_series(tmp_path / "s", scout, prefix="c")
    whole, first, second = dicom_sources(_files(tmp_path / "s"), Search())
    assert whole.fault is None and len(whole.candidates[0]) == 14 and whole.flags == (SERIES_INCOMPLETE,)
    assert first.fault is not None and first.fault[0] is Reason.MIXED_SERIES
    assert first.also == (Reason.NO_RESCALE, Reason.TOO_FEW_SLICES)
    assert second.fault is not None and second.fault[0] is Reason.LOCALIZER
    assert second.also == (Reason.TOO_FEW_SLICES,)


@pytest.mark.parametrize(
    ("kept", "turned", "origin"),
    [(9, 5, (-20, 35, -300)), (7, 7, (-20, 35, -600))],
    ids=["among the others", "as many"],
)
def test_a_part_of_a_mixed_series_is_no_whole_scan(tmp_path, kept, turned, origin):
    uid = generate_uid()
    aslant = geometry(cosines=Rotation.from_euler("x", 20, degrees=True).as_matrix(), origin=origin)
    write_series(tmp_path / "s", series(chest_hu((20, 24, 28)), uid=uid)[: kept + 3], prefix="a")
    write_series(tmp_path / "s", series(where=aslant, uid=uid)[: turned + 3], prefix="b")
    found = list(dicom_sources(_files(tmp_path / "s"), Search()))
    assert [scan.fault[0] for scan in found] == [Reason.MIXED_SERIES] * 2
    assert len({scan.identity for scan in found}) == 2
    (row,) = find_scans([_table_of(tmp_path)], ("absent", "trace"))
    assert row.fault is not None and row.fault[0] is Reason.MIXED_SERIES


def _table_of(folder):
    (folder / "cases.csv").write_text("image\ns\n")
    return folder / "cases.csv"


def test_files_that_say_they_are_dicom_but_are_not_have_one_entry_a_folder(tmp_path):
    write_series(tmp_path / "s", series())
    (tmp_path / "s" / "junk.dcm").write_bytes(b"junk")
    (tmp_path / "s" / "IM0001").write_bytes(bytes(128) + b"DICM" + b"junk")
    (tmp_path / "s" / "LICENSE").write_text("no DICOM at all")
    (tmp_path / "s" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    offered = [path for path in _files(tmp_path / "s") if looks_like_dicom(path)]
    found = list(dicom_sources(offered, Search()))
    assert [scan.fault and scan.fault[0] for scan in found] == [None, Reason.UNREADABLE]
    assert found[1].location == tmp_path / "s" and "no readable DICOM: 2" in found[1].fault[1]
    assert claims_dicom(tmp_path / "s" / "IM0001") and not claims_dicom(tmp_path / "s" / "LICENSE")
