"""Enhanced multi-frame CT: read as the same single slices would be, or set aside with what is wrong with it."""

import numpy as np
import pytest
from pydicom.uid import (
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from scipy.spatial.transform import Rotation
from support.ct_files import chest_hu, geometry, series, write_series
from support.dicom_faults import drop, each, shift, tilt
from support.enhanced_ct import enhanced_ct, group, write_enhanced

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.dicom_enhanced import frames_of
from dcam_dist.ingest.dicom_headers import read_headers


def read(folder, config=IngestConfig()):  # noqa: B008 - frozen
    return read_series([tuple(sorted(folder.iterdir()))], config, assume_hu=False)


def codes(folder):
    with pytest.raises(CaseRejected) as caught:
        read(folder)
    assert str(folder) not in caught.value.detail
    return {caught.value.reason, *caught.value.also}


def _implicit(whole):
    whole.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def _compressed(whole):
    whole.compress(RLELossless, generate_instance_uid=False)


@pytest.mark.parametrize("store", [lambda whole: None, _implicit, _compressed], ids=["explicit", "implicit", "RLE"])
@pytest.mark.parametrize(
    "sop_class", [EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage], ids=["CT", "old"]
)
def test_frames_are_read_as_the_same_single_slices(tmp_path, sop_class, store):
    where = geometry(cosines=Rotation.from_euler("xyz", [6, -4, 9], degrees=True).as_matrix())
    slices = series(chest_hu(), where)
    single = read(write_series(tmp_path / "single", slices))
    whole = enhanced_ct([slices[number * 5 % len(slices)] for number in range(len(slices))], sop_class)
    store(whole)
    enhanced = read(write_enhanced(tmp_path / "enhanced", whole))
    assert np.array_equal(enhanced.hu_DHW, single.hu_DHW)
    assert enhanced.geometry == single.geometry and enhanced.scan_geometry == single.scan_geometry
    assert enhanced.covariates == single.covariates


def test_each_frame_has_its_own_rescale(tmp_path):
    slices = series()
    slices[2].RescaleSlope = "2"
    single = read(write_series(tmp_path / "single", slices))
    enhanced = read(write_enhanced(tmp_path / "enhanced", enhanced_ct(slices)))
    assert np.array_equal(enhanced.hu_DHW, single.hu_DHW)


def test_unassigned_attributes_of_converted_objects_are_covariates(tmp_path):
    whole = enhanced_ct(series(), LegacyConvertedEnhancedCTImageStorage)
    shared = whole.SharedFunctionalGroupsSequence[0]
    del shared.CTReconstructionSequence, shared.CTXRayDetailsSequence
    shared.UnassignedSharedConvertedAttributesSequence = group(ConvolutionKernel="B70f", KVP="140")
    found = read(write_enhanced(tmp_path / "s", whole)).covariates
    assert found["kernel"] == "B70f" and found["kvp"] == "140"


@pytest.mark.parametrize(
    ("reason", "edit"),
    [
        (Reason.MISSING_SLICES, lambda s: s.__delitem__(6)),
        (Reason.DUPLICATE_SLICES, lambda s: s.append(s[4])),
        (Reason.UNEVEN_SPACING, lambda s: shift(s, lambda z: (0, 0, 1.4 if z > 6 else 0))),
        (Reason.TILTED, tilt),
        (Reason.TOO_FEW_SLICES, lambda s: s.__delitem__(slice(9, None))),
        (Reason.WRONG_MODALITY, lambda s: each(s, Modality="MR")),
        (Reason.NOT_FINITE, lambda s: each(s[2:3], RescaleSlope="inf")),
    ],
)
def test_frames_go_through_the_checks_of_single_slices(tmp_path, reason, edit):
    slices = series()
    edit(slices)
    assert codes(write_enhanced(tmp_path / "s", enhanced_ct(slices))) == {Reason.ENHANCED_MULTIFRAME, reason}


def _all(whole):
    return whole.PerFrameFunctionalGroupsSequence


def _colour(whole):
    whole.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence[0].PixelPresentation = "COLOR"


def _other_unit(whole):
    each([frame.PixelValueTransformationSequence[0] for frame in _all(whole)], RescaleType="US")


def _localizer(whole):
    whole.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence[0].FrameType[2] = "LOCALIZER"


def _two_stacks(whole):
    for frame in _all(whole)[7:]:
        frame.PlaneOrientationSequence = group(ImageOrientationPatient=["0", "1", "0", "0", "0", "-1"])


@pytest.mark.parametrize(
    ("reasons", "edit"),
    [
        ({Reason.COLOUR}, _colour),
        ({Reason.NOT_HOUNSFIELD}, _other_unit),
        ({Reason.LOCALIZER}, _localizer),
        ({Reason.MIXED_SERIES}, _two_stacks),
        ({Reason.BAD_GEOMETRY}, lambda w: drop(_all(w)[3:4], "PlanePositionSequence")),
        ({Reason.BAD_GEOMETRY}, lambda w: drop(w.SharedFunctionalGroupsSequence, "PixelMeasuresSequence")),
        ({Reason.NO_RESCALE}, lambda w: drop(_all(w), "PixelValueTransformationSequence")),
        ({Reason.TRUNCATED}, lambda w: setattr(w, "PixelData", w.PixelData[:-1400])),
        ({Reason.BURNED_IN}, lambda w: setattr(w, "BurnedInAnnotation", "YES")),
        ({Reason.BAD_GEOMETRY, Reason.NO_RESCALE}, lambda w: _all(w).pop()),
        ({Reason.BAD_GEOMETRY, Reason.NO_RESCALE}, lambda w: delattr(w, "PerFrameFunctionalGroupsSequence")),
    ],
)
def test_what_is_no_regular_volume_is_set_aside(tmp_path, reasons, edit):
    whole = enhanced_ct(series())
    edit(whole)
    assert codes(write_enhanced(tmp_path / "s", whole)) == {Reason.ENHANCED_MULTIFRAME, *reasons}


def test_a_file_cut_short_is_truncated(tmp_path):
    folder = write_enhanced(tmp_path / "s", enhanced_ct(series()))
    path = folder / "enhanced.dcm"
    path.write_bytes(path.read_bytes()[:-1000])
    assert codes(folder) == {Reason.ENHANCED_MULTIFRAME, Reason.TRUNCATED}


def test_a_volume_may_lie_in_several_files(tmp_path):
    slices = series()
    single = read(write_series(tmp_path / "single", slices))
    write_enhanced(tmp_path / "s", enhanced_ct(slices[8:]), "first.dcm")
    write_enhanced(tmp_path / "s", enhanced_ct(slices[:8]), "second.dcm")
    assert np.array_equal(read(tmp_path / "s").hu_DHW, single.hu_DHW)
    write_enhanced(tmp_path / "s", enhanced_ct(slices[:8]), "third.dcm")
    assert codes(tmp_path / "s") == {Reason.ENHANCED_MULTIFRAME, Reason.DUPLICATE_SLICES}


def test_a_tilted_volume_can_be_resampled(tmp_path):
    slices = series()
    tilt(slices)
    config = IngestConfig(resample_tilt=True)
    single = read(write_series(tmp_path / "single", slices), config)
    enhanced = read(write_enhanced(tmp_path / "s", enhanced_ct(slices)), config)
    assert np.array_equal(enhanced.hu_DHW, single.hu_DHW) and enhanced.geometry == single.geometry


def test_a_count_of_frames_that_no_file_could_hold_costs_nothing(tmp_path):
    whole = enhanced_ct(series())
    whole.NumberOfFrames = 2**31 - 1
    folder = write_enhanced(tmp_path / "s", whole)
    (_, header), *_ = read_headers(folder.iterdir())
    assert header is not None and frames_of(header) == (header,)
    assert {Reason.ENHANCED_MULTIFRAME, Reason.TOO_LARGE, Reason.TRUNCATED} <= codes(folder)


@pytest.mark.realdata
def test_real_enhanced_perfusion_map_is_no_scan(real_data):
    (_, header), *_ = read_headers([real_data / "odd" / "pydicom-data" / "eCT_Supplemental.dcm"])
    assert header is not None
    first, second = frames_of(header)
    assert first.position == (99.5, -301.5, -159.0) and second.position == (99.5, -301.5, -149.0)
    assert first.orientation == (-1, 0, 0, 0, 1, 0) and first.rescale_intercept == -1024
    assert first.rescale_type == "US" and first.contrast_agent == "YES"
