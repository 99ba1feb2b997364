"""Lungs that the first or last slice cuts, and the sides of masks that come with the scan."""

import numpy as np
import pytest
from support.ct_files import chest_hu, geometry, lung_box, write_image

from dcam_dist.config import Config
from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason, UsageError
from dcam_dist.ingest.case import CaseJob, source_fingerprint
from dcam_dist.ingest.lung_mask import lung_mask_of
from dcam_dist.ingest.lungs import CUT_CM2, LEFT, RIGHT, cut_area_cm2, label_sides
from dcam_dist.ingest.scan import make_scan

SHAPE = (30, 80, 110)
SPACING_MM = (5.0, 3.0, 3.0)


def scan_and_mask(first=4, last=4, rows=40):
    """Two boxes of lung; beyond the slices ``first`` and ``last`` only so many rows of them."""
    where = geometry(SHAPE, SPACING_MM)
    mask = np.zeros(SHAPE, bool)
    for columns in (np.s_[20:50], np.s_[60:90]):
        mask[4:-4, 20:60, columns] = True
        mask[first:-last, 20 : 20 + rows, columns] = True
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 10:70, 10:100] = 40
    hu[mask] = -850
    hu += np.random.default_rng(0).integers(-15, 16, SHAPE).astype(np.int16)
    return make_scan(hu, where, format="nrrd"), mask


@pytest.mark.parametrize("given", [False, True], ids=["computed", "given"])
@pytest.mark.parametrize("ends", [{"first": 0}, {"last": -SHAPE[0]}], ids=["first slice", "last slice"])
def test_cut_lungs_are_set_aside_unless_allowed(tmp_path, given, ends):
    scan, mask = scan_and_mask(**ends)
    path = write_image(tmp_path / "mask.nrrd", mask.astype(np.uint8), scan.geometry) if given else None
    with pytest.raises(CaseRejected, match="cm²") as caught:
        lung_mask_of(scan, path, IngestConfig())
    assert caught.value.reason is Reason.LUNGS_CUT
    found, flags = lung_mask_of(scan, path, IngestConfig(allow_cut_lungs=True))
    assert flags[-1] == "lungs_cut"
    assert set(np.unique(found)) == {0, RIGHT, LEFT}


@pytest.mark.parametrize("given", [False, True], ids=["computed", "given"])
def test_a_tip_that_reaches_the_last_slice_is_not_cut(tmp_path, given):
    scan, mask = scan_and_mask(last=-SHAPE[0], rows=1)
    path = write_image(tmp_path / "mask.nrrd", mask.astype(np.uint8), scan.geometry) if given else None
    found, flags = lung_mask_of(scan, path, IngestConfig())
    assert mask[-1].any()
    assert "lungs_cut" not in flags
    assert cut_area_cm2(found, scan.geometry) < CUT_CM2


def test_the_cut_area_is_the_larger_end_in_square_centimetres():
    mask = np.zeros((5, 20, 20), np.uint8)
    mask[0, :4, :5] = RIGHT
    mask[-1, :10, :5] = LEFT
    mask[2] = RIGHT
    assert cut_area_cm2(mask, geometry(mask.shape, (9.0, 3.0, 2.0))) == pytest.approx(50 * 0.06)


def test_whole_lungs_have_no_flag_and_two_sides(tmp_path):
    scan, mask = scan_and_mask()
    path = write_image(tmp_path / "mask.nrrd", mask.astype(np.uint8), scan.geometry)
    found, flags = lung_mask_of(scan, path, IngestConfig())
    assert flags == () and found.dtype == np.uint8
    assert np.array_equal(found, np.where(mask, np.where(np.arange(SHAPE[2]) < 55, RIGHT, LEFT), 0))


def test_settings_that_change_the_mask_change_the_fingerprint(tmp_path):
    job = CaseJob("a", "p", "train", 0, ((write_image(tmp_path / "scan.nrrd", chest_hu()),),), "image")
    weights = tmp_path / "weights.pth"

    def fingerprint(**ingest):
        return source_fingerprint(job, Config(ingest=IngestConfig(**ingest)), assume_hu=False)

    weights.write_bytes(b"1")
    found = [fingerprint(), fingerprint(allow_cut_lungs=True), fingerprint(lungmask_weights=weights)]
    weights.write_bytes(b"23")
    found.append(fingerprint(lungmask_weights=weights))
    assert len(set(found)) == 4
    assert found[0] == fingerprint(workers=7)
    with pytest.raises(UsageError, match="no such file"):
        fingerprint(lungmask_weights=tmp_path / "absent.pth")


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_single_given_lung_is_named_by_the_half_of_the_body(side):
    scan, mask = scan_and_mask()
    mask &= (np.arange(SHAPE[2]) < 55) == (side == RIGHT)
    assert set(np.unique(label_sides(mask, scan.hu_DHW, scan.geometry))) == {0, side}


def test_every_voxel_of_a_given_mask_has_a_side_even_specks():
    random = np.random.default_rng(1)
    mask = lung_box() | (random.random(lung_box().shape) < 0.01)
    sides = label_sides(mask, chest_hu(), geometry())
    assert np.array_equal(sides > 0, mask)
    mask[:] = False
    mask[5, 3, 2] = True
    assert np.array_equal(label_sides(mask, chest_hu(), geometry()) > 0, mask)
