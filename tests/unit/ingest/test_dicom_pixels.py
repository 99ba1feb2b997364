"""Uncompressed pixels: stored bits, sign, byte order, deflated files, rescale values and padding."""

import zlib

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from support.ct_files import chest_hu, series, write_series
from support.dicom_faults import each

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest import dicom_file
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.dicom_headers import read_headers
from dcam_dist.ingest.scan import AIR_HU

HU = np.clip(chest_hu(), -1000, 3071)


def read(folder):
    return read_series([tuple(sorted(folder.iterdir()))], IngestConfig(), assume_hu=False).hu_DHW


def stored(slices, words_DHW, **values):
    """Store words as they are."""
    each(slices, **values)
    for dataset, words_HW in zip(slices, words_DHW, strict=True):
        dataset.PixelData = words_HW.tobytes()
    return slices


@pytest.mark.parametrize("rubbish", [0, 0xF000])
@pytest.mark.parametrize(("signed", "intercept"), [(0, -1024), (1, 0)])
def test_bits_beyond_the_stored_ones_do_not_count(tmp_path, signed, intercept, rubbish):
    words = ((HU - intercept).astype(np.int32) & 0x0FFF | rubbish).astype("<u2")
    about = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": signed, "RescaleIntercept": str(intercept)}
    hu = np.clip(HU, -1000, 2047 if signed else 3071)
    assert np.array_equal(read(write_series(tmp_path / "s", stored(series(), words, **about))), hu)


def test_stored_bits_may_lie_high_in_the_word(tmp_path):
    words = ((HU + 1024).astype(np.int32) << 4 | 0x5).astype("<u2")
    assert np.array_equal(read(write_series(tmp_path / "s", stored(series(), words, BitsStored=12, HighBit=15))), HU)


@pytest.mark.parametrize("bits", [8, 32])
def test_words_of_other_sizes(tmp_path, bits):
    words = ((HU + 1024) // 16).astype(f"<u{bits // 8}")
    about = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": "16"}
    found = read(write_series(tmp_path / "s", stored(series(), words, **about)))
    assert np.array_equal(found, (HU + 1024) // 16 * 16 - 1024)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_plain_transfer_syntaxes(tmp_path, syntax):
    slices = stored(series(), (HU + 1024).astype(">u2" if syntax == ExplicitVRBigEndian else "<u2"))
    (tmp_path / "s").mkdir()
    for number, dataset in enumerate(slices):
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset["PixelData"].VR = "OW"
        dcmwrite(tmp_path / "s" / f"{number}.dcm", dataset, enforce_file_format=True)
    assert np.array_equal(read(tmp_path / "s"), HU)


def test_files_without_preamble_and_syntax_are_read(tmp_path):
    write_series(tmp_path / "s", series())
    for path in (tmp_path / "s").iterdir():
        dataset = dcmread(path)
        del dataset.file_meta.TransferSyntaxUID
        dcmwrite(path, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
        path.write_bytes(path.read_bytes()[132:])
    assert np.array_equal(read(tmp_path / "s"), np.clip(chest_hu(), -1024, 3071))


def _deflated(folder, more):
    """A valid deflated file with so many bytes behind its last element."""
    path = write_series(folder, series()[:1]) / "IM00000.dcm"
    content = path.read_bytes()
    body = content.index(b"\x08\0\x05\0CS")
    syntax = b"\x02\0\x10\0UI\x16\0" + DeflatedExplicitVRLittleEndian.encode()
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(content[:132] + syntax + deflater.compress(content[body:] + bytes(more)) + deflater.flush())
    return path


def test_a_deflated_file_that_swells_without_end_is_not_inflated(tmp_path):
    modest, endless = _deflated(tmp_path / "s", 1000), _deflated(tmp_path / "t", dicom_file.INFLATED_LIMIT)
    assert endless.stat().st_size < 1e5
    (_, readable), (_, refused) = read_headers([modest, endless])
    assert readable is not None and not readable.truncated and readable.rows == HU.shape[1]
    assert refused is None


def test_a_deflated_file_cut_short_is_truncated(tmp_path):
    path = write_series(tmp_path / "s", series()[:1]) / "IM00000.dcm"
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(path, dataset, enforce_file_format=True)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(CaseRejected) as caught:
        read(path.parent)
    assert caught.value.reason is Reason.TRUNCATED


def test_each_slice_has_its_own_rescale(tmp_path):
    slices = stored(series(), (HU + 1024).astype("<u2"))
    stored(slices[2:3], ((HU[2:3] + 1000.4) * 2).astype("<u2"), RescaleSlope="0.5", RescaleIntercept="-1000.4")
    assert np.array_equal(read(write_series(tmp_path / "s", slices)), HU)


def test_values_far_below_air_are_padding(tmp_path):
    hu = HU.copy()
    hu[:, :2], hu[:, 2:4] = -3024, -2000
    about = {"PixelRepresentation": 1, "RescaleIntercept": "0"}
    found = read(write_series(tmp_path / "s", stored(series(), hu.astype("<i2"), **about)))
    assert (found[:, :4] == AIR_HU).all() and np.array_equal(found[:, 4:], HU[:, 4:])


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    "padding", [{"PixelPaddingValue": 700}, {"PixelPaddingValue": 705, "PixelPaddingRangeLimit": 700}]
)
def test_padding_that_the_header_names_becomes_air(tmp_path, padding, implicit):
    words = (HU + 1024).astype("<u2")
    words[words == 700] = 699
    words[:, :2] = 700
    if "PixelPaddingRangeLimit" in padding:
        words[:, 2:4] = 703
    slices = stored(series(), words, **padding)
    if implicit:
        each([dataset.file_meta for dataset in slices], TransferSyntaxUID=ImplicitVRLittleEndian)
    found = read(write_series(tmp_path / "s", slices))
    rows = 4 if "PixelPaddingRangeLimit" in padding else 2
    assert (found[:, :rows] == AIR_HU).all()
    assert np.array_equal(found[:, rows:], words[:, rows:].astype(int) - 1024)


def test_negative_padding_that_does_not_fit_the_stored_bits(tmp_path):
    words = (HU + 1024).astype("<i2")
    words[:, :3] = -2000
    about = {"PixelRepresentation": 1, "BitsStored": 13, "HighBit": 12, "PixelPaddingValue": -2000}
    found = read(write_series(tmp_path / "s", stored(series(), words, **about)))
    assert (found[:, :3] == AIR_HU).all()
    twelve = words & 0x0FFF
    twelve[:, :3] = -2000
    about |= {"PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11, "PixelPaddingValue": 0x10000 - 2000}
    found = read(write_series(tmp_path / "t", stored(series(), twelve, **about)))
    assert (found[:, :3] == AIR_HU).all() and np.array_equal(found[:, 3:], HU[:, 3:])
