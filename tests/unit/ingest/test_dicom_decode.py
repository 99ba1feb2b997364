"""Compressed pixels: right values in every syntax, and a process that hangs, starves or crashes harms one case only."""

import os
import time

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from support.ct_files import chest_hu, series, write_series
from support.dicom_faults import compress, each

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.dicom_decode import decode_frames, frame_fragments
from dcam_dist.ingest.dicom_headers import read_headers
from dcam_dist.ingest.dicom_pixels import read_slices
from dcam_dist.ingest.scan import AIR_HU, clean_hu

LOSSLESS = ("CT1_JPLL", "CT1_JLSL", "CT1_J2KR", "CT1_RLE")


def _headers(files):
    return [header for _, header in read_headers(files)]


def _files(folder):
    return tuple(sorted(folder.iterdir()))


def _refused(files, config):
    with pytest.raises(CaseRejected) as caught:
        list(decode_frames(_headers(files), config))
    assert caught.value.reason is Reason.UNREADABLE
    return caught.value.detail


def test_a_compressed_series_is_the_uncompressed_one(tmp_path):
    slices = series()
    slices[2].RescaleSlope = "2"
    plain = write_series(tmp_path / "plain", slices)
    compress(slices[1:])  # the first stays as it is: both kinds may be mixed
    each(slices, SeriesDescription="Canary")
    packed = write_series(tmp_path / "packed", slices)
    scans = [read_series([_files(folder)], IngestConfig(), assume_hu=False) for folder in (plain, packed)]
    assert np.array_equal(scans[0].hu_DHW, scans[1].hu_DHW)
    assert scans[0].geometry == scans[1].geometry


def test_frames_are_told_apart_by_count_or_by_the_offset_table(tmp_path):
    slices = series()[:1]
    each(slices, NumberOfFrames="3")
    slices[0].file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.5"
    for table, fragments in ((True, 2), (False, 1)):
        frames = [bytes([number]) * 100 for number in (1, 2, 3)]
        slices[0].PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
        slices[0]["PixelData"].is_undefined_length = True
        path = write_series(tmp_path / str(table), slices) / "IM00000.dcm"
        content = path.read_bytes()
        for frame in range(3):
            (header,) = _headers([path])
            parts = frame_fragments(header.__class__(**{**_fields(header), "frame": frame}))
            assert b"".join(content[offset : offset + size] for offset, size in parts) == frames[frame]
    slices[0].PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=False)
    with pytest.raises(CaseRejected):
        frame_fragments(_headers([write_series(tmp_path / "no table", slices) / "IM00000.dcm"])[0])


def _fields(header):
    return {name: getattr(header, name) for name in header.__slots__}


@pytest.mark.parametrize("junk", [b"\0\0", b"\0" * 64, b"\xff" * 5000], ids=len)
@pytest.mark.parametrize("syntax", ["5", "4.50", "4.70", "4.80", "4.90"])
def test_malformed_streams_make_the_series_unreadable(tmp_path, syntax, junk):
    slices = series()[:1]
    slices[0].file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.{syntax}"
    slices[0].PixelData = encapsulate([junk])
    slices[0]["PixelData"].is_undefined_length = True
    detail = _refused(_files(write_series(tmp_path / "s", slices)), IngestConfig())
    assert "cannot be decoded" in detail and str(tmp_path) not in detail


def test_memory_is_limited(tmp_path):
    slices = series()[:2]
    compress(slices)
    detail = _refused(_files(write_series(tmp_path / "s", slices)), IngestConfig(decode_memory_gb=0.05))
    assert "cannot be decoded" in detail or "decode_memory_gb" in detail


@pytest.mark.slow
def test_time_is_limited_and_nothing_is_left_behind(tmp_path):
    noise = np.random.default_rng(0).integers(-1000, 1000, (6, 512, 512)).astype(np.int16)
    slices = series(noise)
    compress(slices)
    files = _files(write_series(tmp_path / "s", slices)) * 400
    before = set(psutil.Process().children(recursive=True))
    started = time.monotonic()
    detail = _refused(files, IngestConfig(decode_timeout_s=1))
    assert "decode_timeout_s" in detail
    assert time.monotonic() - started < 30
    assert set(psutil.Process().children(recursive=True)) == before


def test_no_process_is_left_when_the_reader_stops_early(tmp_path):
    slices = series(chest_hu((30, 24, 28)))
    compress(slices)
    before = set(psutil.Process().children(recursive=True))
    decoded = decode_frames(_headers(_files(write_series(tmp_path / "s", slices))), IngestConfig())
    assert len(next(decoded)) == 24 * 28 * 2
    decoded.close()
    assert set(psutil.Process().children(recursive=True)) == before


def test_uncompressed_series_start_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_spawn", None)
    monkeypatch.setattr("subprocess.Popen", None)
    files = _files(write_series(tmp_path / "s", series()))
    assert len(list(read_slices(_headers(files), IngestConfig()))) == 14


@pytest.mark.realdata
def test_lossless_syntaxes_agree_voxel_for_voxel_and_lossy_ones_nearly(real_data):
    folder = real_data / "odd" / "wg04_compressed_ct"
    files = sorted(folder.glob("CT1_*"))
    hu = dict(zip([path.name for path in files], read_slices(_headers(files), IngestConfig()), strict=True))
    words = dcmread(folder / "CT1_RLE").pixel_array  # decoded by pydicom's own decoder
    truth = np.where(words == -2000, AIR_HU, clean_hu(words.astype(np.int32) - 1024))
    assert len(hu) == 6
    for name in LOSSLESS:
        assert np.array_equal(hu[name], truth), name
    assert np.abs(hu["CT1_JLSN"] - truth).max() <= 4
    lossy_error = np.abs(hu["CT1_J2KI"] - truth)
    assert lossy_error.mean() < 25 and np.corrcoef(hu["CT1_J2KI"].ravel(), truth.ravel())[0, 1] > 0.99


@pytest.mark.realdata
def test_a_stream_of_another_sign_than_its_header_is_read_right(real_data):
    (header,) = _headers([real_data / "odd" / "pydicom" / "J2K_pixelrep_mismatch.dcm"])
    (hu,) = read_slices([header], IngestConfig())
    assert header.signed == 1
    assert (hu[[0, 0, -1, -1], [0, -1, 0, -1]] == AIR_HU).all()  # stored as -2000, read unsigned as 6192
    tissue = (hu > -100) & (hu < 100)
    assert 0.1 < tissue.mean() < 0.6 and hu.min() >= -1024 and 1000 < hu.max() < 2000


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["CT1_JPLL", "CT1_JLSL", "CT1_JLSN", "CT1_J2KR", "CT1_J2KI", "CT1_RLE"])
def test_a_stream_that_ends_early_is_never_filled_up(tmp_path, real_data, name):
    dataset = dcmread(real_data / "odd" / "wg04_compressed_ct" / name)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) * 9 // 20 * 2]])
    dataset.save_as(tmp_path / "cut.dcm")
    assert "cannot be decoded" in _refused([tmp_path / "cut.dcm"], IngestConfig())
