"""Image headers are read strictly: what is understood is counted, what is not is refused before ITK sees it."""

import gzip
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from support.ct_files import chest_hu, geometry, write_image

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.image_headers import check_whole, metaimage_layout, nifti_layout, nrrd_layout
from dcam_dist.ingest.images import image_files, read_volume

SHAPE = (12, 16, 20)
HU = chest_hu(SHAPE)
BYTES = HU.size * 2
LIMIT = 10**9
NRRD, META = b"NRRD", b"META"


@pytest.fixture
def nrrd(tmp_path):
    """Header lines and voxels of a raw NRRD."""
    content = write_image(tmp_path / "a.nrrd", HU, geometry(SHAPE), compressed=False).read_bytes()
    header, _, voxels = content.partition(b"\n\n")
    return header, voxels


@pytest.fixture
def meta(tmp_path):
    """Header up to the name of the data file, and voxels, of a raw MetaImage."""
    content = write_image(tmp_path / "a.mha", HU, geometry(SHAPE), compressed=False).read_bytes()
    header, _, voxels = content.partition(b"LOCAL\n")
    return header, voxels


def _read(path):
    values, _ = read_volume(path, max_voxels=LIMIT)
    return values


def _reason(path, max_voxels=LIMIT):
    with pytest.raises(CaseRejected) as caught:
        read_volume(path, max_voxels=max_voxels)
    assert "\n" not in caught.value.detail and str(path.parent) not in caught.value.detail
    return caught.value.reason


def _write(path, content):
    path.write_bytes(content)
    return path


def test_layouts_of_whole_files(tmp_path):
    for name, layout_of in (("a.nii", nifti_layout), ("a.nii.gz", nifti_layout)):
        layout = layout_of(write_image(tmp_path / name, HU, geometry(SHAPE)))
        assert (layout.size, layout.voxel_bytes, layout.lead) == ((20, 16, 12), 2, 352)
        check_whole(layout)
    layout = nrrd_layout(write_image(tmp_path / "a.nrrd", HU, geometry(SHAPE)), detached=False)
    assert (layout.size, layout.encoding, layout.expected_bytes) == ((20, 16, 12), "gzip", BYTES)
    layout = metaimage_layout(write_image(tmp_path / "a.mha", HU, geometry(SHAPE)), detached=False)
    assert (layout.size, layout.encoding, layout.expected_bytes) == ((1, 20, 16, 12), "zlib", BYTES)
    assert layout.stored_bytes == (tmp_path / "a.mha").stat().st_size - layout.start


@pytest.mark.parametrize("skip", [0, 100, -1])
def test_detached_voxels_may_begin_later(tmp_path, nrrd, meta, skip):
    junk = bytes(100 if skip else 0)
    _write(tmp_path / "v.raw", junk + nrrd[1])
    head = _write(tmp_path / "v.nhdr", nrrd[0] + b"\nbyte skip: %d\ndata file: v.raw\n" % skip)
    assert np.array_equal(_read(head), HU) and image_files(head) == (head, tmp_path / "v.raw")
    head = _write(
        tmp_path / "v.mhd", meta[0].replace(b"ElementDataFile", b"HeaderSize = %d\nElementDataFile" % skip) + b"v.raw\n"
    )
    assert np.array_equal(_read(head), HU) and image_files(head) == (head, tmp_path / "v.raw")


def test_comments_keys_and_line_ends_do_not_matter(tmp_path, nrrd):
    header = nrrd[0].replace(b"type:", b"# data file: x\nsizes:=of no field\nTYPE:") + b"\ncontent: a: b\n\n"
    assert np.array_equal(_read(_write(tmp_path / "b.nrrd", header + nrrd[1])), HU)
    crlf = (nrrd[0] + b"\n\n").replace(b"\n", b"\r\n")
    assert np.array_equal(_read(_write(tmp_path / "c.nrrd", crlf + nrrd[1])), HU)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"sizes: 20 16 12", b"sizes: 900 900 850", Reason.TRUNCATED),
        (b"sizes: 20 16 12", b"sizes: 4294967316 16 12", Reason.UNREADABLE),
        (b"sizes: 20 16 12", b"sizes: 2000 2000 2000", Reason.TOO_LARGE),
        (b"sizes: 20 16 12", b"sizes: 1 1 100000", Reason.TOO_LARGE),
        (b"sizes: 20 16 12", b"sizes: 20 16.5 12", Reason.UNREADABLE),
        (b"sizes: 20 16 12", b"sizes: 20 16 12\nsizes: 20 16 12", Reason.UNREADABLE),
        (b"dimension: 3", b"dimension: 4", Reason.UNREADABLE),
        (b"type: short", b"type: block", Reason.UNREADABLE),
        (b"type: short", b"type: double", Reason.TRUNCATED),
        (b"type: short", b"type: short\n" + b"A" * 3000, Reason.UNREADABLE),
        (b"type: short", b"type: short\nspace units: " + b"A" * 3000, Reason.UNREADABLE),
        (b"type: short", b"#\n" * 200_000 + b"type: short", Reason.UNREADABLE),
        (b"(2,0,0)", b"(inf,0,0)", Reason.UNREADABLE),
        (b"(2,0,0)", b"(1e300,0,0)", Reason.UNREADABLE),
        (b"encoding: raw", b"encoding: ascii", Reason.UNSUPPORTED_FORMAT),
        (b"encoding: raw", b"encoding: raw\nline skip: 1", Reason.UNSUPPORTED_FORMAT),
        (b"encoding: raw", b"encoding: raw\nbyte skip: 4", Reason.UNSUPPORTED_FORMAT),
        (b"encoding: raw", b"encoding: raw\ndata file: ../other.raw", Reason.UNSUPPORTED_FORMAT),
        (b"encoding: raw", b"encoding: raw\ndatafile: a.nrrd", Reason.UNSUPPORTED_FORMAT),
    ],
)
def test_nrrd_headers_that_are_refused(tmp_path, nrrd, old, new, reason):
    assert old in nrrd[0]
    path = _write(tmp_path / "b.nrrd", nrrd[0].replace(old, new) + b"\n\n" + nrrd[1])
    assert _reason(path) is reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"DimSize = 20 16 12", b"DimSize = 900 900 850", Reason.TRUNCATED),
        (b"DimSize = 20 16 12", b"DimSize = 20 -16 12", Reason.UNREADABLE),
        (b"DimSize = 20 16 12", b"DimSize = 20 16", Reason.UNREADABLE),
        (b"DimSize = 20 16 12", b"dimsize = 20 16 12", Reason.UNREADABLE),
        (b"DimSize = 20 16 12", b"DimSize = 20 16 12\nDimSize = 20 16 12", Reason.UNREADABLE),
        (b"DimSize = 20 16 12", b"DimSize = 20 16 12\nHeaderSize = -1", Reason.UNSUPPORTED_FORMAT),
        (b"DimSize = 20 16 12", b"DimSize = 20 16 12\n" + b"A" * 300 + b" = 1", Reason.UNREADABLE),
        (b"MET_SHORT", b"MET_SHORT_ARRAY", Reason.UNREADABLE),
        (b"BinaryData = True", b"BinaryData = False", Reason.UNSUPPORTED_FORMAT),
        (b"CompressedData = False", b"CompressedData = maybe", Reason.UNREADABLE),
        (b"TransformMatrix = 1 0", b"TransformMatrix = inf 0", Reason.BAD_GEOMETRY),
        (b"ElementSpacing = 2", b"ElementSpacing = nan", Reason.BAD_GEOMETRY),
        (b"ElementDataFile = ", b"ElementDataFile = /etc/passwd\nx = ", Reason.UNSUPPORTED_FORMAT),
        (b"ElementDataFile = ", b"ElementDataFile = LIST\nx = ", Reason.UNSUPPORTED_FORMAT),
    ],
)
def test_metaimage_headers_that_are_refused(tmp_path, meta, old, new, reason):
    assert old in meta[0]
    path = _write(tmp_path / "b.mha", meta[0].replace(old, new) + b"LOCAL\n" + meta[1])
    assert _reason(path) is reason


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (72, np.int16(8), Reason.UNREADABLE),
        (70, np.int16(64), Reason.UNREADABLE),
        (40, np.int16(8), Reason.UNREADABLE),
        (42, np.int16(-20), Reason.UNREADABLE),
        (108, np.float32(0), Reason.UNREADABLE),
        (108, np.float32(np.nan), Reason.UNREADABLE),
        (108, np.float32(1e9), Reason.UNREADABLE),
        (284, np.float32(np.inf), Reason.BAD_GEOMETRY),
        (256, np.float32(np.nan), Reason.BAD_GEOMETRY),
        (344, np.frombuffer(b"ni1\0", np.int32), Reason.UNREADABLE),
        (0, np.int32(540), Reason.UNSUPPORTED_FORMAT),
        (0, np.frombuffer((348).to_bytes(4, "big"), np.int32), Reason.UNREADABLE),
    ],
)
def test_nifti_headers_that_are_refused(tmp_path, place, value, reason):
    content = bytearray(write_image(tmp_path / "a.nii", HU, geometry(SHAPE)).read_bytes())
    content[place : place + value.nbytes] = value.tobytes()
    assert _reason(_write(tmp_path / "b.nii", bytes(content))) is reason
    assert _reason(_write(tmp_path / "b.nii.gz", gzip.compress(bytes(content), 1))) is reason


def test_an_intercept_without_a_slope_is_refused(tmp_path):
    content = bytearray(write_image(tmp_path / "a.nii", HU, geometry(SHAPE)).read_bytes())
    content[112:120] = np.array([0, 5], "<f4").tobytes()
    assert _reason(_write(tmp_path / "b.nii", bytes(content))) is Reason.UNREADABLE
    content[112:120] = np.array([0, 0], "<f4").tobytes()
    assert np.array_equal(_read(_write(tmp_path / "b.nii", bytes(content))), HU)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_every_bit_under_a_checksum_counts(tmp_path, suffix):
    path = write_image(tmp_path / f"a{suffix}", HU, geometry(SHAPE))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    ends = {".nii.gz": b"", ".nrrd": b"\n\n", ".mha": b"LOCAL\n"}[suffix]
    first = content.index(ends) + len(ends) + 10  # behind the header of the stream, of which a date may change
    for place in rng.integers(first, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        assert _reason(_write(path, bytes(damaged))) in {Reason.UNREADABLE, Reason.TRUNCATED}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_decompression_bomb_is_counted_no_further_than_needed(tmp_path, suffix):
    path = write_image(tmp_path / f"a{suffix}", HU, geometry(SHAPE), compressed=suffix == ".nii.gz")
    content, zeros = path.read_bytes(), bytes(200 << 20)
    if suffix == ".nii.gz":
        bomb = gzip.compress(gzip.decompress(content) + zeros, 1)
    elif suffix == ".nrrd":
        header, _, voxels = content.partition(b"\n\n")
        bomb = header.replace(b"raw", b"gzip") + b"\n\n" + gzip.compress(voxels + zeros, 1)
    else:
        header, _, voxels = content.partition(b"LOCAL\n")
        bomb = header.replace(b"CompressedData = False", b"CompressedData = True") + b"LOCAL\n"
        bomb += zlib.compress(voxels + zeros, 1)
    assert _reason(_write(path, bomb)) is Reason.UNREADABLE


def test_itk_says_nothing_of_the_file(tmp_path, capfd):
    content = bytearray(write_image(tmp_path / "a.nii", HU, geometry(SHAPE)).read_bytes())
    content[80:84] = np.float32(-1).tobytes()  # ITK warns of odd scales, with the path
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(True)
    try:
        _read(_write(tmp_path / "b.nii", bytes(content)))
        assert sitk.ProcessObject.GetGlobalWarningDisplay()
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
    assert str(tmp_path) not in "".join(capfd.readouterr())
