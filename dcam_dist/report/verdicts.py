"""The questions that a reader asks first, each with one plain answer."""

from dataclasses import dataclass
from typing import Literal

from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.report.facts import Facts, accuracy
from dcam_dist.report.steadiness import TRUSTED
from dcam_dist.report.words import listed, p_in_words, percent
from dcam_dist.runs.metrics_lines import CROWDED_SHARE

Tone = Literal["good", "doubt", "bad", "open"]
TOO_FEW = "too few to tell"
FITTED = " The matching of clusters to labels was fitted on these very cases, so all of it is too good."
DISAGREEMENT = 0.2
"""The head may answer another cluster than the nearest centroid in this share of the cases."""
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
    asked = (chance, simpler, learnt, spread_out, again, head, scanner)
    found = (ask(facts) for ask in asked)
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
        f"(p {p_in_words(scores.null_p_value)})." + (FITTED if split == "train" else "")
    )
    return Verdict(question, "good" if above else "bad", "yes" if above else "no", text)


def simpler(facts: Facts) -> Verdict | None:
    """Does it find more than densitometry alone?"""
    split, own = facts.judged_split, accuracy(facts.own, facts.judged_split)
    rivals = {name: value for name, row in facts.densitometry.items() if (value := accuracy(row, split)) is not None}
    if own is None or not rivals:
        return None
    name = max(rivals, key=lambda row: rivals[row])
    text = f"{name} alone, without a network, reaches {percent(rivals[name])} on {split}; this run {percent(own)}."
    return _beside("Better than densitometry?", facts, facts.densitometry[name], text)


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
    return _beside("Better than untrained?", facts, facts.untrained, text)


def _beside(question: str, facts: Facts, rival: MethodScores | None, text: str) -> Verdict:
    """Better only where the 95 % intervals are apart: points alone differ by chance."""
    split = facts.judged_split
    own, other = accuracy(facts.own, split) or 0.0, accuracy(rival, split) or 0.0
    low = (facts.own.of(split).accuracy_interval if facts.own else None) or (0.0, 1.0)
    high = (rival.of(split).accuracy_interval if rival else None) or (0.0, 1.0)
    text += FITTED if split == "train" else ""
    if own <= other:
        return Verdict(question, "bad", "no", text)
    if low[0] > high[1]:
        return Verdict(question, "good", "yes", text)
    return Verdict(question, "doubt", "not shown", f"{text} Their 95 % intervals overlap, so chance may do as much.")


def spread_out(facts: Facts) -> Verdict:
    """Have the clusters collapsed?"""
    total, kind = int(facts.size_K.sum()), facts.names.kind
    question = f"All {kind}s in use?"
    if not total:
        return Verdict(question, "open", "no cases", "No training case has a class.")
    share, empty = facts.size_K.max() / total, int((facts.size_K == 0).sum())
    largest = facts.names.titles[int(facts.size_K.argmax())]
    unused = f"no {kind} is empty" if not empty else f"{empty} {'is' if empty == 1 else 'are'} empty"
    text = f"The largest, {largest}, holds {percent(share)} of {total} training cases; {unused}."
    if share > CROWDED:
        return Verdict(question, "bad", "collapsed" if share > CROWDED_SHARE else "nearly collapsed", text)
    if empty:
        return Verdict(question, "doubt", "not all", text)
    return Verdict(question, "open", TOO_FEW, text) if facts.few else Verdict(question, "good", "yes", text)


def again(facts: Facts) -> Verdict | None:
    """Do the clusters come again?"""
    found = facts.steadiness
    if found is None:
        return None
    question, dissolving = "Do they come again?", int((found.jaccard_K < TRUSTED).sum())
    text = (
        f"Adjusted Rand index (1: the same clusters, 0: chance): {found.over_seeds.median:.2f} between seeds, "
        f"{found.over_resamples.median:.2f} [{found.over_resamples.low:.2f}, {found.over_resamples.high:.2f}] on "
        f"resamples, {found.again:.2f} between the run's clusters and its features clustered once more; the lowest "
        f"counts. {dissolving} of {len(found.jaccard_K)} clusters dissolve on resamples."
    )
    if facts.few:
        return Verdict(question, "open", TOO_FEW, text)
    if found.worst < TRUSTED:
        return Verdict(question, "bad", "no", text)
    return Verdict(question, "doubt", "in part", text) if dissolving else Verdict(question, "good", "yes", text)


def head(facts: Facts) -> Verdict | None:
    """Are the maps those of the clusters? They are the head's, which may answer otherwise than the nearest centroid."""
    question = "Do the maps belong to the clusters?"
    if facts.steadiness is None and facts.heads_KK is None:
        return None
    if facts.disagreement is None:
        return Verdict(question, "open", "not evaluated", "The head's answers are known once the run is evaluated.")
    silent = f" It never answers {listed(facts.unanswered)}." if facts.unanswered else ""
    text = (
        "The maps are the head's. For "
        f"{percent(facts.disagreement)} of the cases it answers another cluster than the nearest centroid.{silent}"
    )
    if facts.unanswered or facts.disagreement > 0.5:
        return Verdict(question, "bad", "not of all" if facts.unanswered else "mostly not", text)
    if facts.disagreement > DISAGREEMENT:
        return Verdict(question, "doubt", "in part", text)
    return Verdict(question, "good", "yes", text)


def scanner(facts: Facts) -> Verdict:
    """Are the clusters scanners?"""
    answers: dict[str, tuple[Tone, str]] = {
        "strong": ("bad", "confounded"),
        "some": ("doubt", "in part"),
        "unclear": ("doubt", "cannot be excluded"),
        "none": ("good", "no sign of it"),
        "few": ("open", TOO_FEW),
        "unknown": ("open", "not known"),
    }
    tone, answer = answers[facts.confounding.verdict]
    return Verdict("Scanner or subtype?", tone, answer, facts.confounding.sentence)
