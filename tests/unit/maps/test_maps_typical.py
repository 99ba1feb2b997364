import numpy as np

from dcam_dist.maps.typical import rank_typical

CASES = ("a", "b", "c", "d", "e")


def test_the_nearest_members_come_first():
    distance = np.array([[3, 9], [1, 9], [2, 9], [0, 5], [9, 4]], dtype=np.float32)
    groups = rank_typical(np.array([0, 0, 0, 1, 1]), distance, CASES, 2)
    assert [group.case_ids for group in groups] == [("b", "c"), ("e", "d")]
    assert [(group.class_id, group.size) for group in groups] == [(0, 3), (1, 2)]


def test_a_case_nearer_to_another_centroid_stands_only_for_its_own_cluster():
    distance = np.array([[0, 1], [5, 0], [1, 1], [1, 1], [1, 1]], dtype=np.float32)
    groups = rank_typical(np.array([1, 0, 0, 0, 0]), distance, CASES, 1)
    assert [group.case_ids for group in groups] == [("c",), ("a",)]


def test_ties_keep_the_cohorts_order_and_small_classes_give_fewer():
    distance = np.zeros((5, 3), dtype=np.float32)
    groups = rank_typical(np.array([0, 0, 0, 0, 2]), distance, CASES, 3)
    assert [group.case_ids for group in groups] == [("a", "b", "c"), (), ("e",)]
    assert [group.size for group in groups] == [4, 0, 1]


def test_cases_without_a_class_stand_for_none():
    groups = rank_typical(np.array([-100, 0, -100, 1, -100]), np.zeros((5, 2), dtype=np.float32), CASES, 5)
    assert [group.case_ids for group in groups] == [("b",), ("d",)]
