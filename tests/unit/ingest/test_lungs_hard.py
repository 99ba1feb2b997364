"""The lung mask on chests that are hard: each generated with its lungs known, and changed in one way."""

import numpy as np
import pytest
from support import hard_chests as hard

from dcam_dist.ingest.lungs import LEFT, RIGHT, label_sides, segment_lungs

CASES = {
    "severe emphysema": (hard.severe_emphysema, {"lung_hu_implausible", "large_air_pocket"}),
    "bullae at the chest wall and in the apex": (hard.bullae, set()),
    "a giant bulla": (hard.vanishing_lung, {"large_air_pocket"}),
    "arms down": (hard.arms_down, set()),
    "one arm down": (lambda: hard.arms_down((1,)), set()),
    "blankets and tubes": (hard.blankets, set()),
    "thick slices": (hard.thick_slices, set()),
    "a field of view that cuts the lungs": (hard.small_field, set()),
    "a circle that cuts the lungs": (hard.truncated_circle, set()),
    "a circle with padding": (lambda: hard.truncated_circle(padding=-2048), set()),
    "a consolidated left lower lobe": (hard.consolidation, {"lungs_asymmetric"}),
    "a consolidated right lower lobe": (lambda: hard.consolidation(RIGHT), {"lungs_asymmetric"}),
    "an effusion": (hard.effusion, {"lungs_asymmetric"}),
    "bowel gas that leaks": (hard.stomach_gas, set()),
    "bowel gas behind a thinner wall": (lambda: hard.stomach_gas(5.0), set()),
    "a pneumothorax": (hard.pneumothorax, {"large_air_pocket"}),
    "one lung": (hard.pneumonectomy, {"lungs_asymmetric"}),
    "a lung shrunken to 120 ml": (lambda: hard.pneumonectomy(rest_ml=120.0), {"lungs_asymmetric"}),
    "air in the gullet": (hard.oesophageal_air, set()),
    "lungs that touch": (hard.touching, set()),
}
LEAST_DICE = 0.98
LEAST_SIDE_DICE = 0.97


def dice(a, b):
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("name", CASES)
def test_hard_chest(name):
    make, flags = CASES[name]
    case = make()
    found = segment_lungs(case.hu, case.geometry)
    assert dice(found.mask_DHW > 0, case.lungs > 0) >= LEAST_DICE
    for side in (RIGHT, LEFT):
        present = (case.lungs == side).any()
        assert (found.mask_DHW == side).any() == present
        assert not present or dice(found.mask_DHW == side, case.lungs == side) >= LEAST_SIDE_DICE
    if case.forbidden is not None:
        assert case.forbidden.any()
        assert (found.mask_DHW[case.forbidden] > 0).mean() < 0.03
    assert set(found.flags) == flags


def test_the_emphysema_is_severe():
    case = hard.severe_emphysema()
    lung_N = case.hu[case.lungs > 0]
    assert (lung_N < -950).mean() > 0.8
    assert (lung_N < -990).mean() > 0.05


def test_bronchi_are_out_and_vessels_in():
    case = hard.patient(0)
    found = segment_lungs(case.hu, case.geometry)
    deep = case.depth(case.lungs > 0) > 8.0
    vessels = deep & (case.hu > -300)
    assert np.count_nonzero(vessels) > 200
    assert (found.mask_DHW[vessels] > 0).mean() > 0.99
    middle = np.abs(case.x) + 0 * case.z + 0 * case.y < 25.0
    main_airway = (case.hu < -900) & (case.lungs == 0) & middle & (np.abs(case.y - 12.0) < 25.0) & (case.z > 150.0)
    assert np.count_nonzero(main_airway) > 100
    assert (found.mask_DHW[main_airway] > 0).mean() < 0.02


def test_lungs_fused_without_a_septum_are_parted_at_the_narrow_place():
    case = hard.touching(-850.0)
    found = segment_lungs(case.hu, case.geometry)
    for side in (RIGHT, LEFT):
        assert dice(found.mask_DHW == side, case.lungs == side) >= 0.95


def test_a_given_mask_with_the_trachea_is_labelled_and_kept():
    case = hard.patient(0)
    trachea = (np.hypot(case.y - 12.0, case.x - 2.0) < 9.0) & (case.z > 140.0)
    carina = (np.abs(case.z - 145.0) < 8.0) & (np.abs(case.y - 12.0) < 7.0) & (np.abs(case.x) < 50.0)
    mask = (case.lungs > 0) | trachea | carina
    sides = label_sides(mask, case.hu, case.geometry)
    assert sides.dtype == np.uint8
    assert np.array_equal(sides > 0, mask)
    for side in (RIGHT, LEFT):
        assert (sides[case.lungs == side] == side).mean() > 0.99
