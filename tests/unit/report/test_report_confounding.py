"""Clusters that are scanners are found and named; clusters that are not, are not."""

import numpy as np
import pytest
from support.reports import GEOMETRY

from dcam_dist.evaluation.association.columns import OTHER
from dcam_dist.report.acquisition import is_acquisition
from dcam_dist.report.confounding import confounding, cross_table, pure_clusters
from dcam_dist.report.variables import Variable, variables_of
from dcam_dist.types import CaseRecord

TITLES = ("cluster 1", "cluster 2", "cluster 3")
CLUSTER_N = np.repeat([0, 1, 2], 20)


def kernels(values):
    return Variable("kernel", "", 0, np.array(values, dtype=str))


MAKER = Variable("manufacturer", "", 0, np.array(["SIEMENS"] * 60))


def independent(seed):
    return kernels(np.random.default_rng(seed).choice(["B31f", "B60f", "BONE"], 60))


def test_clusters_that_are_kernels_are_confounded():
    found = confounding([kernels(["a"] * 20 + ["b"] * 20 + ["c"] * 20)], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "strong" and "Confounded" in found.sentence and "kernel" in found.sentence
    assert {one.class_id for one in found.pure} == {0, 1, 2}


def test_one_cluster_that_is_one_kernel_is_named():
    rng = np.random.default_rng(3)
    found = confounding([kernels(["B60f"] * 20 + list(rng.choice(["B31f", "BONE"], 40)))], CLUSTER_N, TITLES, "cluster")
    assert [(one.class_id, one.value, one.elsewhere) for one in found.pure] == [(0, "B60f", 0.0)]
    assert "Cluster 1 is nearly all kernel B60f (100\xa0%, elsewhere 0\xa0%)" in found.sentence


@pytest.mark.parametrize("seed", range(5))
def test_kernels_that_go_with_nothing_are_not(seed):
    found = confounding([independent(seed), MAKER], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "none" and not found.pure and "No sign of it" in found.sentence


def test_a_kernel_that_all_cases_share_makes_no_cluster_pure():
    found = confounding([kernels(["a"] * 60), MAKER], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "none" and not found.pure and "scanned alike" in found.sentence


def test_without_kernel_or_manufacturer_it_is_open_and_they_are_named():
    found = confounding([kernels(["a", "b"] * 30)], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "unknown" and "manufacturer" in found.sentence and "kernel" not in found.sentence
    found = confounding([kernels(["a"] * 10 + [""] * 50), MAKER], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "unknown" and "does not say kernel of most cases" in found.sentence


def test_a_large_effect_that_chance_can_make_is_not_ruled_out():
    values = np.array((["a"] * 4 + ["b"] * 3) * 3 + ["a", "b", "b"])
    cluster_N = np.repeat([0, 1], 12)
    values[:12], values[12:] = ["a"] * 8 + ["b"] * 4, ["a"] * 4 + ["b"] * 8
    maker = Variable("manufacturer", "", 0, np.array(["x"] * 24))
    found = confounding([kernels(values), maker], cluster_N, TITLES[:2], "cluster")
    assert found.tests[0].test.p_value > 0.05 and found.verdict == "unclear"
    assert found.sentence.startswith("It cannot be excluded: clusters differ in kernel")


def test_in_few_cases_nothing_is_ruled_out_but_an_alarm_stands():
    cluster_N, maker = np.repeat([0, 1], 6), Variable("manufacturer", "", 0, np.array(["x"] * 12))
    found = confounding([kernels(["a", "b"] * 6), maker], cluster_N, TITLES[:2], "cluster")
    assert found.verdict == "few" and "12 cases" in found.sentence
    assert confounding([kernels(["a"] * 6 + ["b"] * 6), maker], cluster_N, TITLES[:2], "cluster").verdict == "strong"


def test_one_variable_of_many_raises_the_alarm():
    rng, kernel = np.random.default_rng(4), ["a"] * 12 + ["b"] * 8 + ["a", "b"] * 10 + ["a"] * 4 + ["b"] * 16
    noise = [Variable(f"noise_{k}", "", 1, rng.normal(0, 1, 60)) for k in range(12)]
    found = confounding([kernels(kernel), MAKER, *noise], CLUSTER_N, TITLES, "cluster")
    assert found.tests[0].q_value > 0.05 > found.tests[0].test.p_value and found.verdict == "some"


def cases_of(kernels_N, **more):
    return [
        CaseRecord(
            f"c{n}", f"p{n}", "train", 0, GEOMETRY, GEOMETRY, GEOMETRY, {"Convolution_Kernel": kernel, **more}, {}
        )
        for n, kernel in enumerate(kernels_N)
    ]


def test_a_kernel_of_many_levels_is_looked_at_and_its_family_too():
    family_N = np.repeat([0, 1, 2], 80)
    names = [f"{'BHQ'[family]}{20 + 40 * (n % 2) + n // 2 % 4}" for n, family in enumerate(family_N)]
    assert len(set(names)) == 24
    found = variables_of(cases_of(names, Vendor="x"))
    assert [one.title for one in found.acquisition][:3] == [
        "Convolution_Kernel",
        "Convolution_Kernel, family",
        "Vendor",
    ]
    assert found.left_out == () and len(set(found.acquisition[1].values_N)) == 6
    judged = confounding(found.acquisition, family_N, TITLES, "cluster")
    assert judged.verdict == "strong" and judged.tests[0].test.size > 0.9
    assert "Convolution_Kernel" in judged.sentence and len(judged.tables[0].levels) == 8


def test_kernels_that_one_case_has_each_are_tested_by_family_and_not_named():
    names = [f"B{20 + n if n < 20 else 40 + n}" for n in range(40)]
    found = variables_of(cases_of(names, manufacturer="x"))
    judged = confounding(found.acquisition, np.repeat([0, 1], 20), TITLES[:2], "cluster")
    assert judged.verdict == "strong" and judged.tables[0].levels == (OTHER,)


@pytest.mark.parametrize(
    "name",
    [
        "Kernel",
        "reconstruction_kernel",
        "Scanner",
        "site",
        "Manufacturer Model Name",
        "KVP",
        "mAs",
        "Exposure",
        "pixel_mm",
        "slice_mm",
        "noise_hu",
        "Slice Thickness (mm)",
        "kernel_type",
        "contrast",
        "pixel spacing",
        "scanner_site",
    ],
)
def test_columns_of_the_acquisition_are_known_by_many_names(name):
    assert is_acquisition(name)


@pytest.mark.parametrize(
    "name", ["age", "sex", "fev1_percent", "smoking_exposure", "biopsy_site", "pack_years", "mass"]
)
def test_columns_of_the_patient_are_not_taken_for_the_acquisition(name):
    assert not is_acquisition(name)


def test_too_few_cases_of_one_kernel_are_chance():
    cluster_N = np.array([0] * 3 + [1] * 57)
    assert pure_clusters(kernels(["a"] * 3 + ["b"] * 57), cluster_N, 2)[0].class_id == 1  # 57 of 57, against 0 of 3
    assert not pure_clusters(kernels(["a"] * 3 + ["a", "b"] * 28 + ["a"]), cluster_N, 2)


def test_slices_that_grow_with_the_cluster_are_confounded():
    thickness = Variable("slice_thickness_mm", "mm", 1, CLUSTER_N + np.random.default_rng(0).normal(0, 0.2, 60))
    assert confounding([thickness], CLUSTER_N, TITLES, "cluster").verdict == "strong"
    noise = Variable("slice_thickness_mm", "mm", 1, np.random.default_rng(0).normal(0, 0.2, 60))
    assert confounding([noise, kernels(["a"] * 60), MAKER], CLUSTER_N, TITLES, "cluster").verdict == "none"


def test_a_modest_link_is_told_as_one():
    mixed = np.where(
        np.random.default_rng(1).random(60) < 0.4, CLUSTER_N, np.random.default_rng(2).integers(3, size=60)
    )
    found = confounding([kernels([f"k{k}" for k in mixed])], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "some" and found.sentence.startswith("Partly")


def test_rare_levels_share_a_column_and_cases_without_a_cluster_do_not_count():
    values = [f"k{place}" for place in range(12)] * 5
    assert cross_table(kernels(["a", "b"] * 29 + ["once", "twice"]), CLUSTER_N, 3).levels == ("a", "b", OTHER)
    table = cross_table(kernels(values), np.where(np.arange(60) < 12, -100, CLUSTER_N), 3)
    assert len(table.levels) == 8 and table.levels[-1] == "5 others"
    assert table.counts_KL.sum() == 48
