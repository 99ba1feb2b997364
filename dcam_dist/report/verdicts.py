"""The questions that a reader asks first, each with one plain answer."""

from dataclasses import dataclass
from typing import Literal

from dcam_dist.report.facts import Facts, accuracy
from dcam_dist.report.steadiness import TRUSTED
from dcam_dist.report.words import p_in_words, percent
from dcam_dist.runs.metrics_lines import CROWDED_SHARE

Tone = Literal["good", "doubt", "bad", "open"]
CROWDED = 0.8
"""A class with more of the cases than this holds nearly all."""


@dataclass(frozen=True)
class Verdict:
    """One answer.

    Attributes:
        question: What is asked.
        tone: ``good``, ``doubt``, ``bad``, or ``open`` where it is not known.
        answer: In a word or two.
        because: One sentence.
    """

    question: str
    tone: Tone
    answer: str
    because: str


def verdicts(facts: Facts) -> tuple[Verdict, ...]:
    """All answers, in the order in which they are asked; what a supervised run has no answer to is left out."""
    found = (chance(facts), simpler(facts), learnt(facts), spread_out(facts), again(facts), scanner(facts))
    return tuple(verdict for verdict in found if verdict is not None)


def chance(facts: Facts) -> Verdict:
    """Does it agree with the labels more than chance does?"""
    question, split = "Better than chance?", facts.judged_split
    scores = None if facts.own is None else facts.own.of(split)
    if not facts.scores:
        return Verdict(question, "open", "not evaluated", "Run dcam-dist evaluate on this run, then the report again.")
    if scores is None or scores.clustering_accuracy is None or scores.null_p95 is None or scores.null_p_value is None:
        return Verdict(question, "open", "no labels", "Without labels nothing can be said of agreement with them.")
    above = scores.clustering_accuracy > scores.null_p95
    text = (
        f"On {split}, {percent(scores.clustering_accuracy)} of {scores.labelled} labelled cases agree with their "
        f"{facts.names.kind}; shuffled labels reach {percent(scores.null_p95)} in one of twenty tries "
        f"(p {p_in_words(scores.null_p_value)})."
    )
    return Verdict(question, "good" if above else "bad", "yes" if above else "no", text)


def simpler(facts: Facts) -> Verdict | None:
    """Does it find more than densitometry alone?"""
    split, own = facts.judged_split, accuracy(facts.own, facts.judged_split)
    rivals = {name: value for name, row in facts.densitometry.items() if (value := accuracy(row, split)) is not None}
    if own is None or not rivals:
        return None
    name, best = max(rivals.items(), key=lambda item: item[1])
    text = f"{name} alone, without a network, reaches {percent(best)} on {split}; this run {percent(own)}."
    tone: Tone = "good" if own > best else "bad"
    return Verdict("Better than densitometry?", tone, "yes" if own > best else "no", text)


def learnt(facts: Facts) -> Verdict | None:
    """Is the trained network better than the untrained one?"""
    split = facts.judged_split
    own, before = accuracy(facts.own, split), accuracy(facts.untrained, split)
    if own is None or before is None:
        return None
    text = (
        f"The same network with random weights, clustered in the same way, reaches {percent(before)} on {split}; "
        f"trained {percent(own)}."
    )
    tone: Tone = "good" if own > before else "bad"
    return Verdict("Better than untrained?", tone, "yes" if own > before else "no", text)


def spread_out(facts: Facts) -> Verdict:
    """Have the clusters collapsed?"""
    total, kind = int(facts.size_K.sum()), facts.names.kind
    question = f"All {kind}s in use?"
    if not total:
        return Verdict(question, "open", "no cases", "No training case has a class.")
    share, empty = facts.size_K.max() / total, int((facts.size_K == 0).sum())
    largest = facts.names.titles[int(facts.size_K.argmax())]
    text = (
        f"The largest, {largest}, holds {percent(share)} of {total} training cases; {empty or 'none'} of them is empty."
    )
    if share > CROWDED:
        return Verdict(question, "bad", "collapsed" if share > CROWDED_SHARE else "nearly collapsed", text)
    return Verdict(question, "doubt" if empty else "good", "not all" if empty else "yes", text)


def again(facts: Facts) -> Verdict | None:
    """Do the clusters come again?"""
    found = facts.steadiness
    if found is None:
        return None
    spread = found.over_resamples
    dissolving = int((found.jaccard_K < TRUSTED).sum())
    text = (
        f"On bootstrap resamples the clusters agree with an adjusted Rand index of {spread.median:.2f} "
        f"[{spread.low:.2f}, {spread.high:.2f}]; {dissolving} of {len(found.jaccard_K)} dissolve."
    )
    if spread.median >= TRUSTED:
        return Verdict(
            "Do they come again?", "doubt" if dissolving else "good", "in part" if dissolving else "yes", text
        )
    return Verdict("Do they come again?", "bad", "no", text)


def scanner(facts: Facts) -> Verdict:
    """Are the clusters scanners?"""
    answers: dict[str, tuple[Tone, str]] = {
        "strong": ("bad", "confounded"),
        "some": ("doubt", "in part"),
        "unclear": ("doubt", "cannot be excluded"),
        "none": ("good", "no sign of it"),
        "few": ("open", "too few to tell"),
        "unknown": ("open", "not known"),
    }
    tone, answer = answers[facts.confounding.verdict]
    return Verdict("Scanner or subtype?", tone, answer, facts.confounding.sentence)
