"""Each thing that speaks against an answer is a sentence and a flag; where nothing does there is none."""

from dataclasses import replace

import pytest

from dcam_dist.inference.answer import Answer
from dcam_dist.inference.judge import judged
from dcam_dist.inference.words import FLAGS
from dcam_dist.ingest.case import SLICES_APART, THICK_SLICES
from dcam_dist.ingest.dicom_tilt import TILT_RESAMPLED
from dcam_dist.ingest.lungs import plausibility
from dcam_dist.ingest.scan_source import SERIES_INCOMPLETE
from dcam_dist.ingest.table_sources import SEVERAL_SERIES, UNREADABLE_FILES
from dcam_dist.runs import read_bundle
from dcam_dist.runs.trained_on import TrainedOn

SEEN = TrainedOn(
    cases=100,
    ranges={"laa950": (1.0, 20.0), "mean_hu": (-870.0, -800.0), "slice_thickness_mm": (1.0, 2.5)},
    kernels={"B": 60, "L": 20, "other": 20},
    manufacturers={"philips": 100},
    slice_thickness_mm={"1": 100},
    lung_masks={"computed": 100},
)
USUAL = {
    "cluster": 1,
    "cluster_title": "cluster 1",
    "cluster_of_the_head": 1,
    "probabilities": {"cluster 1": 0.9, "cluster 2": 0.1},
    "share_won": {"cluster 1": 0.1, "cluster 2": 0.9},
    "p_value": 0.5,
    "out_of_distribution": False,
    "densitometry": {"laa950": 5.0, "mean_hu": -840.0},
    "scanner": {"kernel": "B", "manufacturer": "philips", "slice_thickness_mm": "2"},
    "lung_mask": "computed",
    "flags": [],
    "warnings": [],
}


@pytest.fixture(scope="module")
def model(bundle):
    return replace(read_bundle(bundle), trained_on=SEEN)


@pytest.mark.parametrize(
    ("change", "flag", "words"),
    [
        ({}, None, ()),
        ({"cluster_of_the_head": 2}, "head_disagrees", ("cluster 1", "cluster 2", "10%")),
        ({"out_of_distribution": True, "p_value": 0.004}, "out_of_distribution", ("p = 0.004",)),
        ({"out_of_distribution": None}, None, ()),
        ({"scanner": {"kernel": "YA"}}, "kernel_unlike_training", ("YA", "B, L")),
        ({"scanner": {"kernel": "other"}}, "kernel_unlike_training", ("other",)),
        ({"scanner": {}}, None, ()),
        ({"scanner": {"manufacturer": "siemens"}}, "manufacturer_unlike_training", ("siemens", "philips")),
        ({"scanner": {"manufacturer": "other"}}, "manufacturer_unlike_training", ("other",)),
        ({"scanner": {"slice_thickness_mm": "0.6"}}, "slice_thickness_unlike_training", ("0.6 mm", "1 to 2.5 mm")),
        ({"scanner": {"slice_thickness_mm": "2.5"}}, "slices_over_2_mm", ("2.5 mm", "like thickness")),
        ({"share_won": {"cluster 1": 0.093, "cluster 2": 0.907}}, "map_hardly_wins", ("cluster 1", "9.3%")),
        ({"lung_mask": "given"}, "lung_mask_unlike_training", ("given", "computed")),
        ({"densitometry": {"laa950": 31.26}}, "outside_training_range", ("LAA-950 31.3 % (1 % to 20 %)",)),
        ({"densitometry": {"mean_hu": -871.0}}, "outside_training_range", ("-871 HU (-870 HU to -800 HU)",)),
        ({"flags": ["thick_slices"], "scanner": {"slice_thickness_mm": "2.5"}}, "thick_slices", ("5 mm",)),
        ({"flags": ["lung_volume_implausible"]}, "lung_volume_implausible", ("volume",)),
        ({"flags": ["of_another_release"]}, "of_another_release", ("of_another_release",)),
    ],
)
def test_what_speaks_against_an_answer(model, change, flag, words):
    tree = judged(Answer({**USUAL, **change}), model).tree
    assert tree["flags"] == ([flag] if flag else [])
    assert len(tree["warnings"]) == bool(flag)
    assert all(word in tree["warnings"][0] for word in words)


def test_without_a_summary_of_the_training_cases_nothing_is_compared_with_them(model):
    odd = {"scanner": {"kernel": "YA"}, "lung_mask": "given", "densitometry": {"laa950": 31.0}}
    assert judged(Answer({**USUAL, **odd}), replace(model, trained_on=None)).tree["warnings"] == []


def test_kernels_are_not_compared_with_training_scans_of_which_few_have_a_known_one(model):
    few = SEEN.model_copy(update={"kernels": {"B": 10}})
    tree = judged(Answer({**USUAL, "scanner": {"kernel": "YA"}}), replace(model, trained_on=few)).tree
    assert tree["warnings"] == []


def test_every_flag_of_ingest_has_its_sentence():
    of_masks = {value for name, value in vars(plausibility).items() if name.isupper() and isinstance(value, str)}
    of_files = {TILT_RESAMPLED, SERIES_INCOMPLETE, SEVERAL_SERIES, UNREADABLE_FILES}
    assert FLAGS.keys() == {THICK_SLICES, SLICES_APART} | of_files | of_masks
    assert all(sentence.endswith(".") for sentence in FLAGS.values())
