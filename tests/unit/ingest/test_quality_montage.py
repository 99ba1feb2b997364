"""The picture of a case: right proportions, right sides, lungs outlined, small, the same bytes each time."""

import io

import numpy as np
import pytest
from PIL import Image

from dcam_dist.cohort import VolumeLevels
from dcam_dist.ingest.quality import montage_of
from dcam_dist.ingest.quality.montage import HEIGHT_PX, MM_PER_PX, MOST_BYTES, WIDTHS_PX, montage_of_scan
from dcam_dist.types import Geometry

SHAPE, SPACING_MM = (60, 80, 120), (4.0, 2.5, 2.0)
RIGHT, LEFT = 1, 2
CORONAL = slice(0, WIDTHS_PX[0])
AXIAL = slice(sum(WIDTHS_PX[:2]), sum(WIDTHS_PX[:3]))
SAGITTAL = slice(sum(WIDTHS_PX[:3]), None)


def _geometry(shape=SHAPE, spacing_mm=SPACING_MM):
    return Geometry.from_matrix(shape, np.diag([*spacing_mm[::-1], 1.0]))


def _chest():
    """White tissue with two dark boxes; the right lung lies at low x."""
    hu, mask = np.full(SHAPE, 150, np.int16), np.zeros(SHAPE, np.uint8)
    mask[10:50, 20:60, 15:50] = RIGHT
    mask[10:50, 20:60, 70:105] = LEFT
    hu[mask > 0] = -850
    return hu, mask


def _pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def _bluish(pixels):
    return pixels[..., 2] - pixels[..., 0] > 40


def _orange(pixels):
    return pixels[..., 0] - pixels[..., 2] > 40


def test_the_same_case_gives_the_same_small_webp():
    hu, mask = _chest()
    levels = VolumeLevels(hu, mask, hu, mask)
    picture = montage_of(levels, _geometry())
    assert picture == montage_of(levels, _geometry())
    image = Image.open(io.BytesIO(picture))
    assert image.format == "WEBP" and image.size == (sum(WIDTHS_PX), HEIGHT_PX)
    assert len(picture) <= MOST_BYTES


def test_noise_is_encoded_more_coarsely():
    hu = np.random.default_rng(0).integers(-1300, 100, (128, 128, 128)).astype(np.int16)
    picture = montage_of_scan(hu, None, _geometry(hu.shape, (2.4, 2.4, 2.4)))
    assert len(picture) <= MOST_BYTES


def test_planes_have_the_patients_proportions():
    hu = np.full(SHAPE, 150, np.int16)
    lit = _pixels(montage_of_scan(hu, None, _geometry())).max(axis=2) > 128
    z, y, x = (round(size * step / MM_PER_PX) for size, step in zip(SHAPE, SPACING_MM, strict=True))
    for panel, (height, width) in ((CORONAL, (z, x)), (AXIAL, (y, x)), (SAGITTAL, (z, y))):
        assert lit[:, panel].any(axis=1).sum() == pytest.approx(height, abs=1)
        assert lit[:, panel].any(axis=0).sum() == pytest.approx(width, abs=1)


def test_a_case_too_large_for_the_canvas_is_drawn_smaller_and_whole():
    hu = np.full((100, 100, 100), 150, np.int16)
    lit = _pixels(montage_of_scan(hu, None, _geometry(hu.shape, (10.0, 5.0, 5.0)))).max(axis=2) > 128
    assert lit[:, CORONAL].any(axis=1).all()
    assert lit[:, CORONAL].any(axis=0).sum() == pytest.approx(HEIGHT_PX / 2, abs=1)


def test_the_patients_right_is_on_the_left_and_the_head_is_up():
    hu, mask = _chest()
    hu[55:, :, :] = -1350
    pixels = _pixels(montage_of_scan(hu, mask, _geometry()))
    for panel in (CORONAL, AXIAL):
        view = pixels[:, panel]
        half = view.shape[1] // 2
        assert _bluish(view[:, :half]).sum() > 50 and not _bluish(view[:, half:]).any()
        assert _orange(view[:, half:]).sum() > 50 and not _orange(view[:, :half]).any()
    assert _bluish(pixels[:, SAGITTAL]).any() and not _orange(pixels[:, SAGITTAL]).any()
    coronal = pixels[:, CORONAL].max(axis=2)
    inside = np.flatnonzero(coronal.max(axis=1) > 128)
    middle = HEIGHT_PX // 2
    assert middle - inside[0] < inside[-1] - middle  # the dark head end takes from the top


@pytest.mark.parametrize("mask", [None, np.zeros(SHAPE, np.uint8), np.ones(SHAPE, bool)])
def test_any_mask_can_be_drawn(mask):
    hu, _ = _chest()
    assert _pixels(montage_of_scan(hu, mask, _geometry())).shape == (HEIGHT_PX, sum(WIDTHS_PX), 3)


def test_one_voxel_of_lung_is_found():
    hu, mask = _chest()
    mask[:] = 0
    mask[31, 41, 61] = RIGHT
    assert montage_of_scan(hu, mask, _geometry())
