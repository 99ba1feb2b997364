"""Each fault of an otherwise valid series has its own code, and no other code is reported with it."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.ct_files import chest_hu, geometry, series, write_series
from support.dicom_faults import FAULTS, drop, each, edited, giant, shift, tilt

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom import read_series

CONFIG = IngestConfig()


def read(folder, config=CONFIG):
    return read_series([tuple(sorted(folder.iterdir()))], config, assume_hu=False)


def refused(folder, config=CONFIG):
    with pytest.raises(CaseRejected) as caught:
        read(folder, config)
    assert str(folder) not in caught.value.detail and "\n" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_gives_exactly_its_code(tmp_path, fault):
    reason, make = FAULTS[fault]
    make(tmp_path / "s")
    found = refused(tmp_path / "s")
    assert (found.reason, found.also) == (reason, ())


def test_every_dicom_code_is_proved():
    elsewhere = {
        # of image files, tables, masks, lungs and workers
        Reason.MISSING_FILE,
        Reason.MASK_MISMATCH,
        Reason.MASK_EMPTY,
        Reason.NO_LUNGS,
        Reason.LUNGS_CUT,
        Reason.LUNGS_EXCEED_GRID,
        Reason.BAD_LABEL,
        Reason.BAD_SPLIT,
        Reason.WORKER_DIED,
    }
    assert {reason for reason, _ in FAULTS.values()} == set(Reason) - elsewhere


@pytest.mark.parametrize("edit", [lambda s: None, lambda s: s.reverse()], ids=["as it is", "in any order"])
def test_the_unbroken_series_is_accepted(tmp_path, edit):
    edited(edit)(tmp_path / "s")
    assert np.array_equal(read(tmp_path / "s").hu_DHW, np.clip(chest_hu(), -1024, 3071))


@pytest.mark.parametrize("turn", [(6, -4, 9), (0, 25, 0), (90, 0, 0)], ids=str)
def test_oblique_axes_are_accepted(tmp_path, turn):
    where = geometry(cosines=Rotation.from_euler("xyz", turn, degrees=True).as_matrix())
    write_series(tmp_path / "s", series(where=where))
    assert read(tmp_path / "s").scan_geometry.shape == chest_hu().shape


def test_a_header_of_no_known_class_without_an_image_is_no_scan(tmp_path):
    slices = series()
    each(slices, SOPClassUID="1.2.840.113619.4.30")
    for name in ("PixelData", "Rows", "Columns"):
        drop(slices, name)
    found = refused(write_series(tmp_path / "s", slices))
    assert {found.reason, *found.also} == {Reason.TRUNCATED, Reason.TOO_SMALL}


def test_all_faults_are_told(tmp_path):
    slices = series()
    tilt(slices)
    drop(slices, "RescaleSlope")
    del slices[5]
    found = refused(write_series(tmp_path / "s", slices))
    assert {found.reason, *found.also} == {Reason.NO_RESCALE, Reason.MISSING_SLICES, Reason.TILTED}


@pytest.mark.parametrize("kind", [["MPR"], ["AVERAGE"], ["AXIAL", "CT_SOM5 SPI"]], ids=str)
@pytest.mark.parametrize("unit", ["", "HU"])
def test_what_keeps_hounsfield_units_is_accepted(tmp_path, kind, unit):
    edited(lambda s: each(s, ImageType=["DERIVED", "SECONDARY", *kind], RescaleType=unit))(tmp_path / "s")
    assert read(tmp_path / "s").hu_DHW.shape == chest_hu().shape


def test_an_unspecified_unit_may_be_said_to_be_hu_but_no_other(tmp_path):
    for unit, usable in (("US", True), ("Z_EFF", False)):
        edited(lambda s, unit=unit: each(s, RescaleType=unit))(tmp_path / unit)
        files = tuple(sorted((tmp_path / unit).iterdir()))
        if usable:
            assert read_series([files], CONFIG, assume_hu=True).hu_DHW.shape == chest_hu().shape
        else:
            with pytest.raises(CaseRejected, match="not_hounsfield"):
                read_series([files], CONFIG, assume_hu=True)


def test_what_vendors_add_to_the_image_type_may_differ(tmp_path):
    edited(
        lambda s: [each(s[z : z + 1], ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "", "", f"T{z}"]) for z in range(14)]
    )(tmp_path / "s")
    assert read(tmp_path / "s").hu_DHW.shape == chest_hu().shape


def test_a_giant_volume_is_refused_before_anything_is_allocated(tmp_path):
    giant(tmp_path / "s")
    tracemalloc.start()
    try:
        assert refused(tmp_path / "s").reason is Reason.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


def test_the_largest_volume_is_set_by_the_configuration(tmp_path):
    edited(lambda slices: None)(tmp_path / "s")
    voxels = chest_hu().size
    assert refused(tmp_path / "s", IngestConfig(max_voxels=voxels - 1)).reason is Reason.TOO_LARGE
    assert read(tmp_path / "s", IngestConfig(max_voxels=voxels)).hu_DHW.size == voxels


def test_drift_of_the_spacing_is_uneven_though_no_single_gap_is(tmp_path):
    slices = series(chest_hu((40, 24, 28)))
    shift(slices, lambda z: (0, 0, 0.2 * max(0, z - 20)))
    assert refused(write_series(tmp_path / "s", slices)).reason is Reason.UNEVEN_SPACING


def test_a_file_that_is_gone_is_unreadable(tmp_path):
    files = tuple(sorted(write_series(tmp_path / "s", series()).iterdir()))
    files[-1].unlink()
    with pytest.raises(CaseRejected) as caught:
        read_series([files], CONFIG, assume_hu=False)
    assert caught.value.reason is Reason.UNREADABLE
