"""Two reconstructions of one acquisition are found by where the lungs lie, and told when they disagree."""

import numpy as np
import pytest

from dcam_dist.inference.answer import Answer
from dcam_dist.inference.reconstructions import LAA_POINTS, alone, find_pairs, in_words, with_reconstructions


def scan(case_id, *, cluster=1, laa950=5.0, volume_ml=5000.0, kernel="B", shift_mm=0.0, slices=100):
    affine = np.diag([0.8, 0.8, 2.5, 1.0])
    affine[0, 3] = shift_mm
    return Answer(
        {
            "case_id": case_id,
            "cluster": cluster,
            "cluster_title": f"cluster {cluster}",
            "cluster_of_the_head": cluster,
            "densitometry": {"laa950": laa950, "volume_ml": volume_ml},
            "scanner": {"kernel": kernel},
            "flags": ["thick_slices"],
            "warnings": ["The slices are thick."],
            "other_reconstructions": [],
            "closed": False,
            "lungs_box": {"shape": [slices, 300, 400], "affine": affine.tolist()},
        }
    )


def pairs_of(*answers, **acquisitions):
    return [(pair.first.case_id, pair.second.case_id) for pair in find_pairs(answers, acquisitions)]


def test_lungs_in_one_place_are_one_acquisition():
    assert pairs_of(scan("b"), scan("a", shift_mm=2.0, volume_ml=5050.0)) == [("a", "b")]


@pytest.mark.parametrize("other", [{"shift_mm": 9.0}, {"slices": 104}, {"volume_ml": 5150.0}])
def test_lungs_elsewhere_are_another(other):
    assert pairs_of(scan("a"), scan("b", **other)) == []


def test_the_headers_decide_where_both_name_study_and_frame():
    assert pairs_of(scan("a"), scan("b"), a="x", b="y") == []
    assert pairs_of(scan("a"), scan("b"), a="x") == [("a", "b")]
    assert pairs_of(scan("a"), scan("b", volume_ml=5200.0), a="x", b="x") == [("a", "b")]
    assert pairs_of(scan("a"), scan("b", volume_ml=5300.0), a="x", b="x") == [], "another breath"


def test_all_pairs_of_several_are_found():
    answers = [scan("a"), scan("b"), scan("c"), scan("d", shift_mm=50.0), scan("e", volume_ml=7000.0)]
    assert pairs_of(*answers) == [("a", "b"), ("a", "c"), ("b", "c")]


@pytest.mark.parametrize(
    ("other", "disagree"),
    [
        ({}, False),
        ({"laa950": 5 + LAA_POINTS - 0.1}, False),
        ({"laa950": 5 + LAA_POINTS + 0.1}, True),
        ({"cluster": 2}, True),
    ],
)
def test_what_counts_as_disagreement(other, disagree):
    answers = [scan("a", kernel="L"), scan("b", **other)]
    pairs = find_pairs(answers, {})
    told = with_reconstructions(answers, pairs)
    assert [pair.disagree for pair in pairs] == [disagree]
    for answer, another in zip(told, told[::-1], strict=True):
        (entry,) = answer.tree["other_reconstructions"]
        assert entry["case_id"] == another.case_id and entry["disagrees"] is disagree
        assert ("reconstructions_disagree" in answer.tree["flags"]) is disagree
        assert len(answer.tree["warnings"]) == 1 + disagree
        if disagree:
            assert all(part in answer.tree["warnings"][-1] for part in ("a (kernel L)", "b (kernel B)", "LAA-950"))
    assert "a (kernel L) and b (kernel B)" in in_words(pairs[0])


def test_what_was_told_can_be_taken_back():
    answers = (scan("a"), scan("b", cluster=2), scan("c", laa950=9.0), scan("d"))
    told = with_reconstructions(answers, find_pairs(answers, {}))
    assert told != answers and tuple(map(alone, told)) == answers
    assert all(answer.tree["closed"] for answer in told)
