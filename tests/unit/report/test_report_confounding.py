"""Clusters that are scanners are found and named; clusters that are not, are not."""

import numpy as np
import pytest

from dcam_dist.report.confounding import confounding, cross_table, pure_clusters
from dcam_dist.report.variables import Variable

TITLES = ("cluster 1", "cluster 2", "cluster 3")
CLUSTER_N = np.repeat([0, 1, 2], 20)


def kernels(values):
    return Variable("kernel", "", 0, np.array(values, dtype=str))


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
    found = confounding([independent(seed)], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "none" and not found.pure and "No sign of it" in found.sentence


def test_a_kernel_that_all_cases_share_makes_no_cluster_pure():
    found = confounding([kernels(["a"] * 60)], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "unknown" and not found.pure


def test_too_few_cases_of_one_kernel_are_chance():
    cluster_N = np.array([0] * 3 + [1] * 57)
    assert pure_clusters(kernels(["a"] * 3 + ["b"] * 57), cluster_N, 2)[0].class_id == 1  # 57 of 57, against 0 of 3
    assert not pure_clusters(kernels(["a"] * 3 + ["a", "b"] * 28 + ["a"]), cluster_N, 2)


def test_slices_that_grow_with_the_cluster_are_confounded():
    thickness = Variable("slice_thickness_mm", "mm", 1, CLUSTER_N + np.random.default_rng(0).normal(0, 0.2, 60))
    assert confounding([thickness], CLUSTER_N, TITLES, "cluster").verdict == "strong"
    noise = Variable("slice_thickness_mm", "mm", 1, np.random.default_rng(0).normal(0, 0.2, 60))
    assert confounding([noise], CLUSTER_N, TITLES, "cluster").verdict == "none"


def test_a_modest_link_is_told_as_one():
    mixed = np.where(
        np.random.default_rng(1).random(60) < 0.4, CLUSTER_N, np.random.default_rng(2).integers(3, size=60)
    )
    found = confounding([kernels([f"k{k}" for k in mixed])], CLUSTER_N, TITLES, "cluster")
    assert found.verdict == "some" and found.sentence.startswith("Partly")


def test_rare_levels_share_a_column_and_cases_without_a_cluster_do_not_count():
    values = [f"k{place}" for place in range(12)] * 5
    table = cross_table(kernels(values), np.where(np.arange(60) < 12, -100, CLUSTER_N), 3)
    assert len(table.levels) == 8 and table.levels[-1] == "5 others"
    assert table.counts_KL.sum() == 48
