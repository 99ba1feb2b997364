"""Every verdict and every warning: a study in which it stands, and one in which it does not."""

from dataclasses import replace

import numpy as np
import pytest

from dcam_dist.clustering.stability import Spread
from dcam_dist.config import Config
from dcam_dist.evaluation.scoring import MethodScores, SplitScores
from dcam_dist.maps.naming import class_names
from dcam_dist.report.confounding import Confounding, PureCluster
from dcam_dist.report.facts import Facts
from dcam_dist.report.findings import findings
from dcam_dist.report.steadiness import Steadiness
from dcam_dist.report.verdicts import verdicts

LABELS = ("absent", "mild")


def row(test, train=0.5, p95=0.4):
    splits = [
        SplitScores(
            n=50,
            labelled=50,
            cluster_sizes=(25, 25),
            clustering_accuracy=value,
            accuracy_interval=(value - 0.09, value + 0.09),
            null_mean=0.3,
            null_p95=p95,
            null_p_value=0.01,
        )
        for value in (train, test)
    ]
    return MethodScores(*splits, (0, 1), False, LABELS, "PCA")


def steady(*jaccard, ari=0.8):
    spread = Spread(ari, ari - 0.1, min(1.0, ari + 0.1))
    return Steadiness(10, 50, spread, spread, np.array(jaccard), 0.1, 1.0)


GOOD = Facts(
    method="dcam",
    names=class_names(Config(clustering={"clusters": 2})),
    size_K=np.array([40, 60]),
    labelled=100,
    scores={
        "dcam": row(0.7),
        "dcam, untrained": row(0.4),
        "LAA-950 binning": row(0.5),
        "densitometry k-means": row(0.45),
    },
    confounding=Confounding("none", "No sign of it.", (), (), ()),
    steadiness=steady(0.9, 0.9),
    heads_KK=np.array([[38, 2], [3, 57]]),
    patients=100,
    cases=100,
    settled=0.95,
)
SMALL = {"size_K": np.array([2, 2])}
PURE = (PureCluster(1, "kernel", "B60f", 1.0, 0.1),)


def answers(facts):
    return {one.question: (one.tone, one.answer) for one in verdicts(facts)}


def codes(facts):
    return {one.code for one in findings(facts)}


def test_a_good_study_has_good_answers_and_no_warning():
    assert {tone for tone, _ in answers(GOOD).values()} == {"good"} and len(answers(GOOD)) == 7
    assert codes(GOOD) == set()


@pytest.mark.parametrize(
    ("question", "change", "expected"),
    [
        ("Better than chance?", {"scores": {**GOOD.scores, "dcam": row(0.39)}}, ("bad", "no")),
        ("Better than chance?", {"scores": {}}, ("open", "not evaluated")),
        ("Better than densitometry?", {"scores": {**GOOD.scores, "LAA-950 binning": row(0.7)}}, ("bad", "no")),
        (
            "Better than densitometry?",
            {"scores": {**GOOD.scores, "LAA-950 binning": row(0.65)}},
            ("doubt", "not shown"),
        ),
        ("Better than untrained?", {"scores": {**GOOD.scores, "dcam, untrained": row(0.6)}}, ("doubt", "not shown")),
        ("Better than untrained?", {"scores": {**GOOD.scores, "dcam, untrained": row(0.7)}}, ("bad", "no")),
        ("All clusters in use?", {"size_K": np.array([85, 15])}, ("bad", "nearly collapsed")),
        ("All clusters in use?", {"size_K": np.array([95, 5])}, ("bad", "collapsed")),
        ("Do they come again?", {"steadiness": steady(0.9, 0.5)}, ("doubt", "in part")),
        ("Do they come again?", {"steadiness": steady(0.9, 0.9, ari=0.3)}, ("bad", "no")),
        ("Do they come again?", {"steadiness": replace(steady(0.9, 0.9), again=0.2)}, ("bad", "no")),
        ("Do they come again?", {"steadiness": steady(0.9, 0.9, ari=1.0), **SMALL}, ("open", "too few to tell")),
        ("All clusters in use?", SMALL, ("open", "too few to tell")),
        ("All clusters in use?", {"size_K": np.array([4, 0])}, ("bad", "collapsed")),
        ("Do the maps belong to the clusters?", {"heads_KK": np.array([[40, 0], [60, 0]])}, ("bad", "not of all")),
        ("Do the maps belong to the clusters?", {"heads_KK": np.array([[10, 30], [30, 30]])}, ("bad", "mostly not")),
        ("Do the maps belong to the clusters?", {"heads_KK": np.array([[30, 10], [15, 45]])}, ("doubt", "in part")),
        ("Do the maps belong to the clusters?", {"heads_KK": None}, ("open", "not evaluated")),
        (
            "Scanner or subtype?",
            {"confounding": Confounding("strong", "Confounded.", (), (), ())},
            ("bad", "confounded"),
        ),
        (
            "Scanner or subtype?",
            {"confounding": Confounding("unclear", "", (), (), ())},
            ("doubt", "cannot be excluded"),
        ),
        ("Scanner or subtype?", {"confounding": Confounding("few", "", (), (), ())}, ("open", "too few to tell")),
        ("Scanner or subtype?", {"confounding": Confounding("some", "Partly.", (), (), ())}, ("doubt", "in part")),
        ("Scanner or subtype?", {"confounding": Confounding("unknown", "?", (), (), ())}, ("open", "not known")),
    ],
)
def test_each_verdict_follows_its_figure(question, change, expected):
    assert answers(replace(GOOD, **change))[question] == expected


def test_the_test_split_is_judged_where_it_has_labels():
    only_train = replace(row(0.7, train=0.35), test=SplitScores(n=10, labelled=0, cluster_sizes=(5, 5)))
    assert answers(replace(GOOD, scores={"dcam": row(0.7, train=0.1)}))["Better than chance?"][1] == "yes"
    assert answers(replace(GOOD, scores={"dcam": only_train}))["Better than chance?"][1] == "no"


def test_a_supervised_run_is_not_asked_whether_clusters_come_again():
    found = answers(replace(GOOD, steadiness=None, heads_KK=None))
    assert "Do they come again?" not in found and "Do the maps belong to the clusters?" not in found


def said(facts, question):
    return next(one.because for one in verdicts(facts) if one.question == question)


def test_what_was_judged_on_train_says_that_the_matching_was_fitted_there():
    only_train = {
        name: replace(found, test=SplitScores(n=10, labelled=0, cluster_sizes=(5, 5)))
        for name, found in GOOD.scores.items()
    }
    for question in ("Better than chance?", "Better than densitometry?", "Better than untrained?"):
        assert "fitted on these very cases" in said(replace(GOOD, scores=only_train), question)
        assert "fitted" not in said(GOOD, question)


def test_clusters_that_the_head_never_answers_are_named_and_grammar_holds():
    silent = said(replace(GOOD, heads_KK=np.array([[40, 0], [60, 0]])), "Do the maps belong to the clusters?")
    assert "It never answers cluster 2." in silent and "60\xa0%" in silent
    assert "no cluster is empty" in said(GOOD, "All clusters in use?")
    assert "1 is empty" in said(replace(GOOD, size_K=np.array([40, 0])), "All clusters in use?")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("collapse", {"size_K": np.array([85, 15])}),
        ("empty", {"size_K": np.array([100, 0])}),
        ("one_scanner", {"confounding": Confounding("strong", "", (), (), PURE)}),
        ("not_evaluated", {"scores": {}}),
        ("outdated", {"outdated": 3}),
        ("no_labels", {"labelled": 0}),
        ("not_learnt", {"scores": {**GOOD.scores, "dcam, untrained": row(0.7)}}),
        ("head_disagrees", {"heads_KK": np.array([[30, 10], [20, 40]])}),
        ("head_silent", {"heads_KK": np.array([[40, 0], [60, 0]])}),
        ("not_settled", {"settled": 0.6}),
        ("many_scans", {"patients": 80}),
        ("unstable", {"steadiness": steady(0.9, 0.5)}),
        ("few_cases", {"size_K": np.array([9, 10])}),
        ("few_cases", {"size_K": np.array([96, 4])}),
        ("set_aside", {"set_aside": 2}),
        ("quarantined", {"quarantined": 2}),
        ("unreadable", {"unreadable": ("case-1",)}),
    ],
)
def test_each_warning_appears_where_it_must(code, change):
    assert code in codes(replace(GOOD, **change))


def test_warnings_name_what_they_are_about():
    said = {one.code: one.text for one in findings(replace(GOOD, confounding=Confounding("strong", "", (), (), PURE)))}
    assert said["one_scanner"].startswith(
        "Cluster 2 is nearly all kernel B60f (100\xa0% of its cases, 10\xa0% of the others)"
    )
    said = {one.code: one.text for one in findings(replace(GOOD, steadiness=steady(0.3, 0.5)))}
    assert "cluster 1 and cluster 2 dissolve: do not build on them" in said["unstable"]
