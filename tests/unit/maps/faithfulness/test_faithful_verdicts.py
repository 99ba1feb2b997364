"""What is concluded of numbers that are known, and how numbers are written."""

from dataclasses import replace

import numpy as np
import pytest

from dcam_dist.maps.faithfulness.case import CaseMeasures
from dcam_dist.maps.faithfulness.curves import Curves
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.report import render
from dcam_dist.maps.faithfulness.summary import Difference, Estimate
from dcam_dist.maps.faithfulness.text import cell, difference_cell, plain, signed
from dcam_dist.maps.faithfulness.verdicts import belonging, noticing, ordering, pointing, verdicts
from dcam_dist.maps.naming import ClassNames

GAP = "gap/normal/probability"
METHODS = ("dcam", "grad_cam", "random_weights", "shuffled_head", "low_attenuation", "random")
CASES = 14  # fewer than that, with ties, make an exact test of seconds


def make_case(index, levels, *, agrees=False, end=0.2, chance=0.25):
    """One case of which each map has its level over what the others have, with a little that differs by case."""
    wiggle = 0.001 * index
    line = np.zeros((9, 2))
    return CaseMeasures(
        case_id=f"case{index}",
        split="test",
        class_id=index % 2,
        label=index % 2,
        head_agrees=agrees,
        invariant=0.0,
        prevalence={"laa950": 0.1},
        ceiling={"laa950": 0.9},
        values={
            method: {
                "auprc/laa950": 0.1 + levels.get(method, 0) * (1 + wiggle),
                "auprc/laa950/forward": 0.1,
                "auprc/laa950/inverted": 0.1,
                "dice/laa950": 0.1,
                "spearman/laa950": 0.0,
                GAP: levels.get(method, 0) * (1 + wiggle),
            }
            for method in METHODS
        },
        similarity={"head": {"spearman": 0.9, "ssim": 0.5}, "down 1": {"spearman": -end + wiggle, "ssim": 0.1}},
        chance_similarity=chance + wiggle,
        curves={method: {"normal": Curves(line, line), "blurred": Curves(line, line)} for method in METHODS},
    )


def make_run(levels, cases=CASES, **more):
    names = ClassNames("cluster", ("Cluster 1", "Cluster 2"), ("c1", "c2"), 1)
    made = tuple(make_case(index, levels, **more) for index in range(cases))
    return RunMeasures("dcam", "dcam", names, ("absent", "mild"), "test", -860.0, {}, made, 200, 0)


def test_a_map_above_chance_and_every_control_points_at_it():
    said = pointing(make_run({"dcam": 0.3, "low_attenuation": 0.6}), "laa950")
    assert said.startswith("it points at voxels below −950 HU. AUPRC, less that of chance: +0.30 [")
    assert "smoothed noise: +0.30" in said and "−HU: −0.30" in said and "n = 14" in said


@pytest.mark.parametrize(
    ("control", "name"),
    [("random", "smoothed noise"), ("random_weights", "random weights"), ("shuffled_head", "a shuffled head")],
)
def test_a_map_that_a_control_reaches_is_not_said_to_point_or_to_carry_the_score(control, name):
    level = make_run({"dcam": 0.3, control: 0.3})
    assert f"is not shown: it is no better than {name}. AUPRC," in pointing(level, "laa950")
    assert f"rests on what it marks is not shown: it is no better than {name}." in ordering(
        level, "normal", "probability"
    )
    ahead = make_run({"dcam": 0.3, control: 0.5})
    assert f"is not shown: it is worse than {name}. AUPRC," in pointing(ahead, "laa950")


def test_a_map_below_chance_points_away_and_one_above_it_by_little_is_of_no_use():
    said = pointing(make_run({"dcam": -0.05}), "laa950")
    assert "worse than chance, smoothed noise, random weights or a shuffled head; it points away from them" in said
    assert "it points at voxels below −950 HU, by less than 0.01." in pointing(make_run({"dcam": 0.004}), "laa950")
    assert "it is no better than chance" in pointing(make_run({"dcam": -0.004}), "laa950")


def test_the_score_rests_on_a_map_that_moves_it_more_than_every_control():
    assert "some of the score rests on what it marks." in ordering(make_run({"dcam": 0.2}), "normal", "probability")
    against = ordering(make_run({"dcam": -0.2}), "normal", "probability")
    assert "what it marks speaks against the class" in against


def test_maps_that_do_not_vary_are_left_out_and_counted():
    run = make_run({"dcam": 0.2})

    def without(case):
        values = {name: value for name, value in case.values["dcam"].items() if not name.startswith("gap")}
        return replace(case, values={**case.values, "dcam": values}, curves={**case.curves, "dcam": {}})

    some = replace(run, cases=tuple(without(case) if place < 3 else case for place, case in enumerate(run.cases)))
    said = ordering(some, "normal", "probability")
    assert "n = 11. The map does not vary in 3 of 14 (21 %), left out here." in said
    none = replace(run, cases=tuple(without(case) for case in run.cases))
    assert "probability, normal lung put in: cannot be judged." in ordering(none, "normal", "probability")


def test_changing_with_the_weights_is_told_from_staying_and_from_what_cannot_be_judged():
    assert noticing(make_run({}, end=0.97)).startswith("it does not change with the weights: |ρ| with itself")
    changed = noticing(make_run({}))
    assert changed.startswith("it changes with the weights: |ρ| with itself after all of them were randomized is 0.19")
    assert "less than the 0.26" in changed and "learnt weights" not in changed
    assert "not to be told from the 0.19" in noticing(make_run({}, chance=0.187))
    constant = noticing(make_run({}, end=float("nan")))
    assert constant.startswith("whether it changes with the weights cannot be judged")
    assert "does not vary in 14 of 14 (100 %)" in constant


def test_a_few_maps_that_do_not_vary_leave_the_verdict_and_are_counted():
    run, still = make_run({}), make_case(0, {}, end=float("nan"))
    said = noticing(replace(run, cases=(still, *run.cases[1:])))
    assert said.startswith("it changes with the weights") and "does not vary in 1 of 14 (7 %)." in said


def test_the_first_line_says_whose_maps_they_are():
    said = verdicts({"run": make_run({})})[0]
    assert said.startswith("run, dCAM: the head prefers the scan's cluster, which the maps explain, in 0 of 14 (0 %)")
    assert "these maps are of the head, which prefers another cluster" in said
    assert "another cluster" not in belonging(make_run({}, agrees=True))


def test_a_difference_is_bold_where_it_is_sure_and_large():
    assert difference_cell(Difference(30, 0.02, 0.01, 0.03, 0.001)) == "**+0.020 [+0.010, +0.030]**, p = 0.001"
    assert difference_cell(Difference(30, 0.002, 0.001, 0.003, 0.0004)) == "+0.0020 [+0.0010, +0.0030], p < 0.001"
    assert difference_cell(Difference(30, 0.02, -0.01, 0.03, 0.2)) == "+0.020 [−0.010, +0.030], p = 0.2"
    assert difference_cell(Difference(5, 0.5, float("nan"), float("nan"), float("nan"))) == "+0.50"


def test_numbers_keep_their_significant_digits():
    assert [plain(value) for value in (0, 0.0004321, -0.5, 0.0996, 12.3, 3.2e-7)] == [
        *("0", "0.00043", "−0.50", "0.10", "12", "3.2e−7")
    ]
    assert plain(0.6054) == "0.61" and signed(0.0001234) == "+0.00012" and signed(0) == "0"
    assert cell(Estimate(5, 0.25, float("nan"), float("nan"))) == "0.25"
    assert cell(Estimate(9, 0.25, 0.1, 0.4)) == "0.25 [0.10, 0.40]"


def test_the_report_says_what_its_intervals_contain():
    run = make_run({"dcam": 0.2}, cases=4)
    rules = {(method, "laa950"): () for method in METHODS}
    text = render({"dcam": replace(run, rules=rules)}, "figure.png")
    assert "no interval below 6" in text and "over scans, given these networks" in text
    assert "| dcam: dCAM | 4 | 0.20 |" in text  # a median, no interval
    assert "| dcam: dCAM | 4 | 0.30 | +0.20 |" in text  # AUPRC, and what it has more than chance
