"""Given lung masks are judged as computed ones are, and what cannot be lungs or labels is refused."""

import numpy as np
import pytest
from support.ct_files import geometry, write_image

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.lung_mask import lung_mask_of
from dcam_dist.ingest.lungs import LEFT, RIGHT
from dcam_dist.ingest.lungs.plausibility import GIVEN_MEAN_HU, GIVEN_ML, refusal
from dcam_dist.ingest.scan import make_scan

SHAPE = (30, 110, 130)
WHERE = geometry(SHAPE, (5.0, 3.0, 3.0))


def _lungs():
    """Two boxes of 1.19 l."""
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[4:-4, 20:60, 20:50], lungs[4:-4, 20:60, 60:90] = RIGHT, LEFT
    return lungs


def _scan(lung_hu=-850):
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 10:70, 10:100] = 40
    hu[_lungs() > 0] = lung_hu
    hu += np.random.default_rng(0).integers(-15, 16, SHAPE).astype(np.int16)
    return make_scan(hu, WHERE, format="nrrd")


def _found(tmp_path, values, scan=None, **config):
    path = write_image(tmp_path / "mask.nrrd", values, WHERE)
    return lung_mask_of(scan or _scan(), path, IngestConfig(**config))


def _tissue():
    tissue = np.zeros(SHAPE, np.uint8)
    tissue[4:-4, 10:70, 10:100] = 1
    return tissue * (_lungs() == 0)


def _speck():
    speck = np.zeros(SHAPE, np.uint8)
    speck[10:12, 30:32, 30:32] = 1
    return speck


def _inverted_inside():
    inverted = (_lungs() == 0).astype(np.uint8)
    inverted[[0, -1]] = 0
    return inverted


REFUSED = {
    "soft tissue": (_tissue, "HU on average"),
    "a speck": (_speck, r"holds 0\.00036 l"),
    "inverted": (lambda: (_lungs() == 0).astype(np.uint8), "the lung mask"),
    "inverted, first and last slice empty": (_inverted_inside, "the lung mask"),
    "probabilities": (lambda: np.where(_lungs() > 0, 0.97, 0.001).astype(np.float32), "threshold it first"),
    "probabilities near one": (lambda: np.where(_lungs() > 0, 1.0, 0.001), "threshold it first"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("allow_cut_lungs", [False, True])
def test_masks_that_are_of_no_lungs_are_refused(tmp_path, kind, allow_cut_lungs):
    make, message = REFUSED[kind]
    with pytest.raises(CaseRejected, match=message) as caught:
        _found(tmp_path, make(), allow_cut_lungs=allow_cut_lungs)
    assert caught.value.reason is Reason.MASK_MISMATCH and "\n" not in caught.value.detail


def test_the_bounds_of_refusal():
    least, most = GIVEN_ML
    assert refusal(least, GIVEN_MEAN_HU) is None and refusal(most, -900.0) is None
    assert refusal(least - 0.1, -850.0) and refusal(most + 1, -850.0) and refusal(5000.0, GIVEN_MEAN_HU + 0.1)


def _small():
    small = _lungs()
    small[12:] = 0
    return small


@pytest.mark.parametrize(
    ("values", "lung_hu", "flags"),
    [
        (_lungs, -850, ()),
        (lambda: _lungs() * (_lungs() == RIGHT), -850, ("lung_volume_implausible", "lungs_asymmetric")),
        (_small, -850, ("lung_volume_implausible",)),
        (_lungs, -500, ("lung_hu_implausible",)),
        (_lungs, -970, ("lung_hu_implausible",)),
        (lambda: (3 - _lungs()) * (_lungs() > 0), -850, ("mask_sides_differ",)),
        (lambda: (3 - _lungs()) * (_lungs() > 0) + 4, -850, None),
    ],
)
def test_given_masks_are_flagged_as_computed_ones(tmp_path, values, lung_hu, flags):
    values = values()
    if flags is None:  # labels of no such meaning, in any numbers
        values, flags = (values * (values != 4)).astype(np.int16) * -50, ()
    found, said = _found(tmp_path, values, _scan(lung_hu))
    assert said == flags
    assert np.array_equal(found, _lungs() * (values != 0))  # the sides are found anew


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.uint8])
def test_labels_of_any_type_that_are_whole_numbers_to_a_rounding(tmp_path, kind):
    values = _lungs().astype(kind)
    if values.dtype.kind == "f":
        values *= kind(1 - 1e-6)
        values += kind(1e-6)
    found, flags = _found(tmp_path, values)
    assert np.array_equal(found, _lungs()) and flags == ()
