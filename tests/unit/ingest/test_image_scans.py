"""NIfTI, NRRD and MetaImage: one scan gives the same HU in all of them; what is no scan is refused by name."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from support.ct_files import chest_hu, geometry, lung_box, write_image
from support.processes import dcam_dist

from dcam_dist.cohort.spatial import canonical, to_sitk
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.images import image_files, image_suffix, read_image
from dcam_dist.ingest.lung_mask import lung_mask_of
from dcam_dist.ingest.scan import hu_digest, make_scan

SUFFIXES = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"]
OBLIQUE = Rotation.from_euler("xyz", [6, -4, 9], degrees=True).as_matrix()
LIMIT = 10**7


def _rejected(path, **limits):
    with pytest.raises(CaseRejected) as caught:
        read_image(path, max_voxels=limits.get("max_voxels", LIMIT))
    assert str(path.parent) not in caught.value.detail and "\n" not in caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64, np.int32])
def test_round_trip_in_every_format(tmp_path, suffix, kind):
    hu = np.clip(chest_hu(), -1024, 3071)
    where = geometry(cosines=OBLIQUE)
    scan = read_image(write_image(tmp_path / f"scan{suffix}", hu.astype(kind), where), max_voxels=LIMIT)
    assert np.array_equal(scan.hu_DHW, hu)
    assert np.allclose(scan.geometry.matrix, where.matrix, atol=1e-4)
    assert hu_digest(scan.hu_DHW) == hu_digest(make_scan(hu, where, format="x").hu_DHW)


def test_a_nifti_of_another_library_lies_where_it_says(tmp_path):
    hu = chest_hu()
    hu[5, 12, 20] = 2500
    ras = np.array([[2.0, 0, 0, -20], [0, 2.0, 0, -80], [0, 0, 3.0, -300], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(hu.transpose(2, 1, 0), ras), tmp_path / "scan.nii.gz")
    scan = read_image(tmp_path / "scan.nii.gz", max_voxels=LIMIT)
    planted = np.argwhere(scan.hu_DHW == 2500)[0]
    world_lps = np.diag([-1, -1, 1, 1]) @ ras @ (20, 12, 5, 1)
    assert np.allclose(scan.geometry.matrix @ (*planted[::-1], 1), world_lps, atol=1e-3)


def test_four_dimensions_of_one_volume(tmp_path):
    hu = chest_hu()
    image = sitk.JoinSeries([to_sitk(hu, geometry())])
    sitk.WriteImage(image, str(tmp_path / "one.nii.gz"))
    assert np.array_equal(read_image(tmp_path / "one.nii.gz", max_voxels=LIMIT).hu_DHW, np.clip(hu, -1024, 3071))
    sitk.WriteImage(sitk.JoinSeries([to_sitk(hu, geometry())] * 2), str(tmp_path / "two.nii.gz"))
    assert _rejected(tmp_path / "two.nii.gz") is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.where(chest_hu() < -900, np.nan, chest_hu()).astype(np.float32), Reason.NOT_FINITE),
        (np.where(chest_hu() > 50, np.inf, chest_hu()).astype(np.float64), Reason.NOT_FINITE),
        (lung_box().astype(np.uint8), Reason.NOT_HOUNSFIELD),
        ((chest_hu() + 1024).astype(np.uint16), Reason.NOT_HOUNSFIELD),
        ((chest_hu() / 2000 + 0.5).astype(np.float32), Reason.NOT_HOUNSFIELD),
        (np.full((14, 24, 28), -1000, np.int16), Reason.NOT_HOUNSFIELD),
        (chest_hu()[:5], Reason.TOO_FEW_SLICES),
        (chest_hu()[:, :15], Reason.TOO_SMALL),
    ],
)
def test_what_is_no_scan(tmp_path, values, reason):
    assert _rejected(write_image(tmp_path / "scan.nrrd", np.ascontiguousarray(values))) is reason


def test_padding_and_clipping(tmp_path):
    hu = chest_hu()
    hu[0, 0, :3] = (-2000, -1999, 9000)
    scan = read_image(write_image(tmp_path / "scan.mha", hu), max_voxels=LIMIT)
    assert scan.hu_DHW[0, 0, :3].tolist() == [-1000, -1024, 3071]


def test_colour_and_flat_images(tmp_path):
    colour = sitk.GetImageFromArray(np.zeros((14, 24, 28, 3), np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / "rgb.nrrd"))
    assert _rejected(tmp_path / "rgb.nrrd") is Reason.COLOUR
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((24, 28), np.int16)), str(tmp_path / "flat.nrrd"))
    assert _rejected(tmp_path / "flat.nrrd") is Reason.UNSUPPORTED_FORMAT


def test_giant_headers_are_refused_before_allocation(tmp_path):
    path = write_image(tmp_path / "scan.nii", chest_hu())
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([32767] * 3, "<i2").tobytes()
    path.write_bytes(content)
    assert _rejected(path) is Reason.TOO_LARGE
    (tmp_path / "giant.nii.gz").write_bytes(gzip.compress(bytes(content)))
    assert _rejected(tmp_path / "giant.nii.gz") is Reason.TOO_LARGE


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compressed", [True, False])
def test_truncated_and_junk_files(tmp_path, suffix, compressed):
    path = write_image(tmp_path / f"scan{suffix}", chest_hu(), compressed=compressed)
    victim = image_files(path)[-1]
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])
    assert _rejected(path) is Reason.TRUNCATED
    path.write_bytes(b"junk" * 50)
    assert _rejected(path) in {Reason.UNREADABLE, Reason.UNSUPPORTED_FORMAT}


@pytest.mark.parametrize(("header", "data"), [("scan.mhd", "scan.zraw"), ("scan.nhdr", "scan.raw.gz")])
def test_lost_detached_data_is_a_missing_file(tmp_path, header, data):
    path = write_image(tmp_path / header, chest_hu())
    (tmp_path / data).unlink()
    assert _rejected(path) is Reason.MISSING_FILE


def test_detached_data_stays_in_its_folder(tmp_path):
    path = write_image(tmp_path / "scan.mhd", chest_hu())
    text = path.read_text()
    for name in ("/etc/passwd", "../other/scan.zraw", "LIST", ""):
        path.write_text(text.replace("scan.zraw", name))
        assert _rejected(path) is Reason.UNSUPPORTED_FORMAT


def test_suffixes():
    assert image_suffix(Path("A.NII.GZ")) == ".nii.gz"
    assert [image_suffix(Path(name)) for name in (".nii", "a.gz", "a.dcm", "nrrd")] == [None] * 4


def _scan(where=None):
    return make_scan(np.clip(chest_hu(), -1024, 3071), where or geometry(), format="nrrd")


def test_given_mask_with_axes_in_another_order(tmp_path):
    scan = _scan(geometry(cosines=OBLIQUE))
    mask, where = lung_box() * np.uint8(7), scan.geometry
    flipped = np.ascontiguousarray(mask[::-1, ::-1].transpose(2, 0, 1))
    matrix = where.matrix
    matrix[:3, 3] += matrix[:3, 2] * (mask.shape[0] - 1) + matrix[:3, 1] * (mask.shape[1] - 1)
    x, y, z = matrix[:3, 0].copy(), -matrix[:3, 1], -matrix[:3, 2]
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = y, z, x
    path = write_image(tmp_path / "mask.nii.gz", flipped, type(where).from_matrix(flipped.shape, matrix))
    found, flags = lung_mask_of(scan, path, IngestConfig())
    assert np.array_equal(found > 0, lung_box()) and flags == ("lung_volume_implausible",)
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "where", "reason"),
    [
        (lung_box()[:-1], geometry((13, 24, 28)), Reason.MASK_MISMATCH),
        (lung_box(), geometry(origin=(-19.0, 35.0, -300.0)), Reason.MASK_MISMATCH),
        (lung_box(), geometry(spacing_mm=(3.0, 2.0, 2.1)), Reason.MASK_MISMATCH),
        (np.zeros_like(lung_box()), geometry(), Reason.MASK_EMPTY),
        (np.where(lung_box(), np.nan, 0.0).astype(np.float32), geometry(), Reason.NOT_FINITE),
    ],
)
def test_masks_that_do_not_fit(tmp_path, values, where, reason):
    path = write_image(tmp_path / "mask.nrrd", values, where)
    with pytest.raises(CaseRejected) as caught:
        lung_mask_of(_scan(), path, IngestConfig())
    assert caught.value.reason is reason


def test_a_mask_rounded_by_another_format_fits(tmp_path):
    path = write_image(
        tmp_path / "mask.nrrd", lung_box().astype(np.uint8), geometry(origin=(-20.004, 35.003, -299.996))
    )
    found, _ = lung_mask_of(_scan(), path, IngestConfig())
    assert np.array_equal(found > 0, canonical(lung_box(), geometry())[0])


ODD_NAME = os.fsdecode(b"Canary\xfe")
"""A name that is not UTF-8."""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_is_no_utf8_is_refused_in_words(tmp_path, suffix):
    """SimpleITK would end the process, so that a process of its own is asked."""
    write_image(tmp_path / f"good{suffix}", chest_hu())
    shutil.copytree(tmp_path, tmp_path / "scans" / ODD_NAME, ignore=shutil.ignore_patterns("scans"))
    (tmp_path / f"good{suffix}").rename(tmp_path / f"{ODD_NAME}{suffix}")
    code = (
        "import sys; from dcam_dist.errors import CaseRejected; from dcam_dist.ingest.images import read_volume\n"
        "from pathlib import Path\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_volume(Path(path), max_voxels=10**7)\n"
        "    except CaseRejected as fault: print(fault)\n"
    )
    paths = [tmp_path / f"{ODD_NAME}{suffix}", tmp_path / "scans" / ODD_NAME / f"good{suffix}"]
    command = [sys.executable, "-c", code, *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    line = "unreadable: the name of the file or of a folder above it is not UTF-8; rename it\n"
    assert (done.returncode, done.stdout) == (0, line * 2)


@pytest.mark.parametrize(("with_a_sound_one", "code"), [(True, 0), (False, 3)])
def test_ingest_sets_a_name_that_is_no_utf8_aside(tmp_path, with_a_sound_one, code):
    for folder in ("odd", "sound"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "scan.nii.gz", chest_hu(seed=1)).rename(tmp_path / "odd" / f"{ODD_NAME}.nii.gz")
    write_image(tmp_path / "sound" / "ct.nrrd", chest_hu())
    write_image(tmp_path / "sound" / "mask.nrrd", lung_box().astype(np.uint8))
    (tmp_path / "sound" / "cases.csv").write_text("image,lung_mask\nct.nrrd,mask.nrrd\n")
    sources = [tmp_path / "odd", *([tmp_path / "sound"] if with_a_sound_one else [])]
    done = dcam_dist("ingest", *sources, "--out", tmp_path / "c.zarr", "grid.shape=[16,16,16]", "ingest.workers=1")
    assert done.returncode == code, done.stderr
    assert done.stdout.count("set aside") == 2 and ": unreadable: the name of the file" in done.stdout
    assert "anary" not in done.stdout + done.stderr
