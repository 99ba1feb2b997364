"""What a generated case looks like, in numbers: anatomy, densities, lesions."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from dcam_dist.phantom import GRADES, Disease, make_case

INDICES = (0, 1, 2)


@pytest.fixture(scope="module")
def by_grade():
    """The same patients and scanners with every grade."""
    return {grade: [make_case(index, Disease(grade, "absent"), seed=11) for index in INDICES] for grade in GRADES}


@pytest.fixture(scope="module")
def bullous():
    return [make_case(index, Disease("absent", "substantial"), seed=11) for index in INDICES]


def lung_hu(case):
    return case.hu[case.lung_mask > 0]


def zones(case):
    """Slices of the lower, middle and upper third of the lungs' height."""
    held = np.flatnonzero(case.lung_mask.any(axis=(1, 2)))
    edges = np.round(np.linspace(held[0], held[-1] + 1, 4)).astype(int)
    return [slice(low, high) for low, high in pairwise(edges)]


def zone_share(case, lesion=1):
    return np.array([(case.lesion_mask[zone] == lesion).sum() / case.lung_mask[zone].sum() for zone in zones(case)])


def laa950(case):
    return float((lung_hu(case) < -950).mean())


def classical_lungs(hu):
    """Air below −400 HU that does not reach the sides of the image: the two largest pieces, closed."""
    part, count = ndimage.label(hu < -400)
    size = np.bincount(part.reshape(-1), minlength=count + 1)
    sides = (part[:, 0], part[:, -1], part[:, :, 0], part[:, :, -1])
    size[np.unique(np.concatenate([side.reshape(-1) for side in sides]))] = 0
    size[0] = 0
    return ndimage.binary_closing((size > 0.2 * size.max())[part], iterations=3)


def test_shape_spacing_and_types(by_grade):
    for case in by_grade["mild"]:
        assert case.hu.dtype == np.int16
        assert case.hu.shape == case.lung_mask.shape == case.lesion_mask.shape
        assert case.hu.shape[1:] == (128, 128)
        assert 50 <= case.hu.shape[0] <= 95
        assert max(case.protocol.spacing_mm) <= 5.0
        assert case.hu.min() >= -1024


def test_lungs_are_two_whole_pieces_of_plausible_size(by_grade):
    for grade in ("absent", "advanced destructive"):
        for case in by_grade[grade]:
            part, count = ndimage.label(case.lung_mask)
            right, left = sorted(np.bincount(part.reshape(-1))[1:], reverse=True)
            assert count == 2
            assert 1.02 < right / left < 1.5
            for axis in range(3):
                assert not case.lung_mask.take((0, 1, -2, -1), axis=axis).any()
            litres = case.lung_mask.sum() * np.prod(case.protocol.spacing_mm) / 1e6
            assert 2.5 < litres < 9


def test_the_right_lung_is_on_the_right_and_larger(by_grade):
    case = by_grade["absent"][0]
    x = case.protocol.frame().x_W  # right → left
    assert case.lung_mask[:, :, x < 0].sum() > 1.02 * case.lung_mask[:, :, x > 0].sum()


@pytest.mark.parametrize("grade", GRADES)
def test_a_classical_segmentation_finds_the_lungs(by_grade, grade):
    for case in by_grade[grade]:
        found, mask = classical_lungs(case.hu), case.lung_mask > 0
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.95


def test_tissues_have_their_densities(by_grade):
    for case in by_grade["absent"]:
        assert -890 < np.median(lung_hu(case)) < -830
        outside = case.hu[:, :6, :6]
        assert -1010 < np.median(outside) < -985
        body = case.hu[(case.hu > -400) & (case.lung_mask == 0)]
        fat, soft = body[(body > -150) & (body < -50)], body[(body > 0) & (body < 90)]
        assert fat.size > 0.1 * body.size
        assert soft.size > 0.4 * body.size
        assert 35 < np.median(soft) < 62
        assert 0.01 < (body > 250).mean() < 0.12
        assert np.percentile(body[body > 250], 90) > 400


def test_the_trachea_is_air_and_out_of_the_lung_mask(by_grade):
    case = by_grade["absent"][0]
    frame = case.protocol.frame()
    top = zones(case)[2].stop - 3
    windpipe = frame.box((0, -12, -6), (1, 20, 6))
    column = case.hu[top][windpipe[1], windpipe[2]]
    assert column.min() < -930
    assert not case.lung_mask[top][windpipe[1], windpipe[2]].any()


def test_foci_are_dark(by_grade):
    for grade in ("moderate", "confluent", "advanced destructive"):
        for case in by_grade[grade]:
            core = ndimage.binary_erosion(case.lesion_mask == 1)
            assert -1005 < np.median(case.hu[core]) < -945


@pytest.mark.parametrize(
    ("grade", "low", "high"),
    [
        ("absent", 0.0, 0.0),
        ("trace", 0.0005, 0.005),
        ("mild", 0.005, 0.05),
        ("moderate", 0.05, 0.2),
        ("confluent", 0.15, 0.4),
        ("advanced destructive", 0.4, 0.8),
    ],
)
def test_the_most_affected_zone_obeys_the_fleischner_bounds(by_grade, grade, low, high):
    for case in by_grade[grade]:
        assert low <= zone_share(case).max() <= high


@pytest.mark.parametrize("grade", GRADES[1:])
def test_upper_lobes_are_affected_most(by_grade, grade):
    for case in by_grade[grade]:
        lower, middle, upper = zone_share(case)
        assert upper > middle > lower


def test_low_attenuation_grows_with_the_grade(by_grade):
    mean = [np.mean([laa950(case) for case in by_grade[grade]]) for grade in GRADES]
    assert mean == sorted(mean)
    assert mean[0] < 0.05
    assert mean[-1] > 0.15


def test_advanced_disease_hyperinflates_and_loses_vessels(by_grade):
    for healthy, destroyed in zip(by_grade["absent"], by_grade["advanced destructive"], strict=True):
        assert destroyed.lung_mask.sum() * np.prod(destroyed.protocol.spacing_mm) > 1.1 * healthy.lung_mask.sum() * (
            np.prod(healthy.protocol.spacing_mm)
        )
        inner = [ndimage.binary_erosion(case.lung_mask, iterations=3) for case in (healthy, destroyed)]
        share = [(case.hu[core] > -700).mean() for case, core in zip((healthy, destroyed), inner, strict=True)]
        assert share[1] < 0.75 * share[0]


def test_bullae_lie_under_the_pleura_or_a_fissure_and_only_where_asked(bullous, by_grade):
    assert all(not (case.lesion_mask == 2).any() for cases in by_grade.values() for case in cases)
    for case in bullous:
        bulla = case.lesion_mask == 2
        assert 0.005 < bulla.sum() / case.lung_mask.sum() < 0.08
        assert not (case.lesion_mask == 1).any()
        assert bulla[zones(case)[0]].sum() < 0.1 * bulla.sum()
        assert np.median(case.hu[ndimage.binary_erosion(bulla)]) < -945
        depth = ndimage.distance_transform_edt(case.lung_mask, sampling=case.protocol.spacing_mm)
        part, _ = ndimage.label(bulla)
        nearest = ndimage.minimum(depth, part, np.unique(part[bulla]))
        size = np.bincount(part[bulla])[np.unique(part[bulla])]
        assert size[nearest < 6].sum() > 0.5 * size.sum()  # the others sit on a fissure


def test_lesions_lie_in_the_lungs(by_grade, bullous):
    for case in (*bullous, *by_grade["confluent"], *by_grade["advanced destructive"]):
        assert not case.lesion_mask[case.lung_mask == 0].any()


def test_the_grade_changes_neither_patient_nor_scanner(by_grade):
    for index in INDICES:
        plain, marked = by_grade["absent"][index], by_grade["moderate"][index]
        assert plain.protocol == marked.protocol
        assert np.array_equal(plain.lung_mask, marked.lung_mask)
        outside = ndimage.binary_dilation(plain.lung_mask, iterations=6) == 0
        difference = plain.hu[outside].astype(int) - marked.hu[outside]
        assert np.abs(difference).max() <= 1


def test_cases_vary(by_grade):
    cases = by_grade["absent"]
    for value in ("spacing_mm", "noise_hu", "origin_mm"):
        assert len({getattr(case.protocol, value) for case in cases}) == len(cases)
    assert len({int(case.lung_mask.sum()) for case in cases}) == len(cases)


def test_a_larger_matrix_is_the_same_patient_in_finer_voxels():
    coarse, fine = (make_case(4, Disease("mild", "absent"), seed=2, matrix=matrix) for matrix in (96, 160))
    assert fine.hu.shape[1:] == (160, 160)
    volume = [case.lung_mask.sum() * np.prod(case.protocol.spacing_mm) for case in (coarse, fine)]
    assert volume[0] == pytest.approx(volume[1], rel=0.02)
    assert max(fine.protocol.spacing_mm) < max(coarse.protocol.spacing_mm) <= 5
