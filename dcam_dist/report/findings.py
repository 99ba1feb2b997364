"""Warnings: what a reader must know before any figure is believed."""

from collections.abc import Iterator
from dataclasses import dataclass

from dcam_dist.report.facts import Facts, accuracy
from dcam_dist.report.steadiness import TRUSTED
from dcam_dist.report.verdicts import CROWDED, DISAGREEMENT
from dcam_dist.report.words import listed, percent

FEW_CASES = 10
"""Fewer training cases for each class than this are few."""
SMALL_CLUSTER = 5
SETTLED = 0.8
"""NMI to the epoch before, below which training has not settled."""


@dataclass(frozen=True)
class Finding:
    """One warning.

    Attributes:
        code: What kind it is; stable, for tests and tables.
        text: One or two sentences.
    """

    code: str
    text: str


def findings(facts: Facts) -> tuple[Finding, ...]:
    """All warnings, by what they are about."""
    parts = (_spread(facts), _scanner(facts), _scores(facts), _head(facts), _steady(facts), _cases(facts))
    return tuple(finding for part in parts for finding in part)


def _spread(facts: Facts) -> Iterator[Finding]:
    total, kind = int(facts.size_K.sum()), facts.names.kind
    if total and facts.size_K.max() > CROWDED * total:
        title = facts.names.titles[int(facts.size_K.argmax())]
        yield Finding(
            "collapse",
            f"{title.capitalize()} holds {percent(facts.size_K.max() / total)} of the training cases: the {kind}s have "
            "collapsed, or the cohort is of one kind.",
        )
    if empty := [title for title, size in zip(facts.names.titles, facts.size_K, strict=True) if not size]:
        yield Finding("empty", f"No training case is in {listed(empty)}.")


def _scanner(facts: Facts) -> Iterator[Finding]:
    for one in facts.confounding.pure:
        yield Finding(
            "one_scanner",
            f"{facts.names.titles[one.class_id].capitalize()} is nearly all {one.variable} {one.value} "
            f"({percent(one.share)} of its cases, {percent(one.elsewhere)} of the others): it may be "
            "a way of scanning, not of being ill.",
        )


def _scores(facts: Facts) -> Iterator[Finding]:
    if not facts.scores:
        yield Finding(
            "not_evaluated",
            "The run was not evaluated as it is now: scores, nulls and the head's answers are missing. Evaluate it.",
        )
    elif facts.outdated:
        yield Finding(
            "outdated",
            f"The evaluation gives {facts.outdated} training cases another {facts.names.kind} than the run has: it is "
            "of an earlier state, or their volumes have changed. Evaluate again.",
        )
    if not facts.labelled:
        yield Finding("no_labels", "No case has a label: clusters can be described, not checked against readers.")
    split = facts.judged_split
    own, before = accuracy(facts.own, split), accuracy(facts.untrained, split)
    if own is not None and before is not None and own <= before:
        yield Finding(
            "not_learnt",
            f"On {split} the trained network agrees with the labels no better ({percent(own)}) than the same network "
            f"with random weights ({percent(before)}): training has made clusters tidier at most, not truer.",
        )


def _head(facts: Facts) -> Iterator[Finding]:
    if facts.unanswered:
        yield Finding(
            "head_silent",
            f"The head, whose maps these are, never answers {listed(facts.unanswered)}: their maps show next to "
            "nothing, and their cases are mapped as those of other clusters.",
        )
    if facts.disagreement is not None and facts.disagreement > DISAGREEMENT:
        yield Finding(
            "head_disagrees",
            f"For {percent(facts.disagreement)} of the cases the head answers another {facts.names.kind} than the "
            "nearest centroid. The maps are the head's: of these cases they show another cluster's pattern.",
        )
    if facts.settled is not None and facts.settled < SETTLED:
        yield Finding(
            "not_settled",
            f"Training has not settled: between the last two epochs the clusters' NMI was {facts.settled:.2f}. Other "
            "clusters may come of a few more epochs.",
        )


def _steady(facts: Facts) -> Iterator[Finding]:
    if facts.steadiness is None:
        return
    pairs = zip(facts.names.titles, facts.steadiness.jaccard_K, strict=True)
    if loose := [title for title, value in pairs if value < TRUSTED]:
        end = "dissolves: do not build on it" if len(loose) == 1 else "dissolve: do not build on them"
        yield Finding("unstable", f"On resamples of the cases {listed(loose)} {end}.")


def _cases(facts: Facts) -> Iterator[Finding]:
    total, classes, kind = int(facts.size_K.sum()), len(facts.size_K), facts.names.kind
    small = [t for t, size in zip(facts.names.titles, facts.size_K, strict=True) if 0 < size < SMALL_CLUSTER]
    if total < FEW_CASES * classes or small:
        sizes = f" Fewer than {SMALL_CLUSTER} are in {listed(small)}." if small else ""
        yield Finding(
            "few_cases", f"{total} training cases for {classes} {kind}s are few: no test here can show much.{sizes}"
        )
    if facts.patients < facts.cases:
        yield Finding(
            "many_scans",
            f"{facts.cases} scans are of {facts.patients} patients: tests, intervals and resamples here take scans as "
            "independent, so they are too sure.",
        )
    if facts.set_aside:
        yield Finding(
            "set_aside", f"Training went on without {facts.set_aside} cases whose stored volumes are damaged."
        )
    if facts.quarantined:
        yield Finding(
            "quarantined", f"Ingest set {facts.quarantined} scans aside; quality.html beside the cohort says why."
        )
    if facts.unreadable:
        yield Finding("unreadable", f"The volumes of {listed(facts.unreadable)} are damaged, so they are not shown.")
