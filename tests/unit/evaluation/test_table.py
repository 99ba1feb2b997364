import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from dcam_dist.evaluation.scoring import MethodScores, SplitScores
from dcam_dist.evaluation.table import render_console, render_markdown, verdict

GOOD = SplitScores(
    n=500,
    labelled=500,
    cluster_sizes=(250, 250),
    silhouette=0.54,
    davies_bouldin=0.55,
    majority_share=0.301,
    adjusted_rand=0.2,
    nmi=0.21,
    clustering_accuracy=0.43,
    accuracy_interval=(0.388, 0.475),
    null_mean=0.21,
    null_p95=0.246,
    null_p_value=1 / 1001,
    weighted_kappa=0.31,
    within_one_grade=0.702,
)
WEAK = replace(
    GOOD,
    silhouette=0.44,
    davies_bouldin=0.69,
    clustering_accuracy=0.24,
    accuracy_interval=(0.2, 0.28),
    null_p_value=0.2,
    adjusted_rand=-0.001,
    weighted_kappa=0.1,
)
BARE = SplitScores(n=40, labelled=0, cluster_sizes=(20, 20), silhouette=0.3, davies_bouldin=float("nan"))


def method(scores: SplitScores, *, space: str = "PCA", supervised: bool = False) -> MethodScores:
    return MethodScores(scores, scores, (0, 1), supervised, ("a", "b"), space)


def row(markdown: str, name: str) -> list[str]:
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def console_text(results: dict[str, MethodScores], width: int = 160) -> str:
    out = io.StringIO()
    render_console(results, "test", Console(file=out, width=width))
    return out.getvalue()


def test_rows_and_best_entries():
    markdown = render_markdown({"dcam": method(GOOD), "baseline": method(WEAK)}, "test")
    assert row(markdown, "dcam") == [
        "dcam", "**43.0 % [38.8, 47.5]**", "21.0 / 24.6 %", "**0.20**", "**0.21**", "**0.31**", "**70.2 %**",
        "**0.54**", "**0.55**", "500",
    ]  # fmt: skip
    assert row(markdown, "baseline") == [
        "baseline", "24.0 % [20.0, 28.0]", "21.0 / 24.6 %", "0.00", "**0.21**", "0.10", "**70.2 %**",
        "0.44", "0.69", "500",
    ]  # fmt: skip


def test_every_row_has_the_header_s_columns():
    lines = render_markdown({"a|b": method(GOOD), "c": method(BARE)}, "test").splitlines()
    table = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {11}
    assert any("a\\|b" in line for line in lines)


def test_caption_names_split_majority_share_and_space():
    markdown = render_markdown({"dcam": method(GOOD)}, "test")
    first = markdown.splitlines()[0]
    assert first.startswith("Test split.") and "30.1 %" in first and "PCA" in first
    both = render_markdown({"dcam": method(GOOD), "LAA-950 binning": method(WEAK, space="LAA-950")}, "train")
    assert "Train split." in both and "PCA (dcam); LAA-950 (LAA-950 binning)" in both


def test_caption_leaves_out_what_no_row_has():
    assert render_markdown({"m": method(replace(BARE, silhouette=None, davies_bouldin=None))}, "test").startswith(
        "Test split.\n"
    )
    results = {"dcam": method(GOOD), "supervised": method(replace(GOOD, silhouette=None), space="none")}
    assert "space: PCA.\n" in render_markdown(results, "test")


def test_internal_scores_are_compared_in_one_space_only():
    results = {"dcam": method(WEAK), "bins": method(GOOD, space="LAA-950")}
    markdown = render_markdown(results, "test")
    assert row(markdown, "bins")[7:9] == ["0.54", "0.55"]
    assert row(markdown, "dcam")[7:9] == ["0.44", "0.69"]
    assert row(markdown, "bins")[1].startswith("**")


def test_a_supervised_row_says_on_the_training_split_that_it_learnt_from_it():
    results = {"supervised": method(GOOD, supervised=True), "dcam": method(GOOD)}
    told = {split: render_markdown(results, split).split("- supervised: ")[1] for split in ("train", "test")}
    learnt = "It learnt from the labels of this split"
    assert told["train"].count(learnt) == 1 and learnt in told["train"].splitlines()[0]
    assert learnt not in told["test"]


def test_a_supervised_row_and_a_lone_row_are_not_best():
    markdown = render_markdown({"supervised": method(GOOD, supervised=True), "dcam": method(WEAK)}, "test")
    assert "**" not in markdown


def test_accuracies_over_other_cases_are_not_compared():
    fewer = replace(GOOD, n=600, labelled=100)
    markdown = render_markdown({"one": method(fewer), "two": method(WEAK)}, "test")
    assert row(markdown, "one")[1] == "43.0 % [38.8, 47.5]"
    assert row(markdown, "one")[-1] == "600 (100 labelled)"


def test_without_labels():
    markdown = render_markdown({"dcam": method(BARE), "baseline": method(replace(BARE, silhouette=0.2))}, "test")
    assert row(markdown, "method") == ["method", "silhouette", "n"]
    assert row(markdown, "dcam") == ["dcam", "**0.30**", "40"]
    assert markdown.count("no labels") == 1


def test_no_accuracy_without_null_and_interval():
    for text in (render_markdown({"m": method(GOOD)}, "test"), console_text({"m": method(GOOD)})):
        assert "43.0 % [38.8, 47.5]" in text and "21.0 / 24.6 %" in text


def test_verdicts():
    assert verdict(GOOD) == "43.0 % is above its permutation 95th percentile (24.6 %, p = 0.001)."
    assert verdict(WEAK) == (
        "24.0 % is not above its permutation 95th percentile (24.6 %, p = 0.2), "
        "and not above the majority share (30.1 %)."
    )
    assert "is not above its" in verdict(replace(GOOD, clustering_accuracy=0.246, majority_share=0.1))
    assert "no labels" in verdict(BARE)


def test_console_shows_the_same_cells():
    results = {"dcam [bold]x": method(GOOD), "baseline": method(replace(WEAK, davies_bouldin=np.inf))}
    text = console_text(results)
    for cell in ("dcam [bold]x", "43.0 % [38.8, 47.5]", "21.0 / 24.6 %", "70.2 %", "∞", "Majority share", "not above"):
        assert cell in text


def test_no_method_is_no_table():
    with pytest.raises(ValueError, match="at least one method"):
        render_markdown({}, "test")
    with pytest.raises(ValueError, match="at least one method"):
        console_text({})
