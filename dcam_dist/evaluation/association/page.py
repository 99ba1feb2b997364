"""``association.md``: what was found, for reading."""

import math
import re
from collections.abc import Iterator, Sequence

from dcam_dist.evaluation.association.analysis import Compared, Found, Modelled
from dcam_dist.evaluation.association.cases import ClusteredCases
from dcam_dist.evaluation.association.design import ENOUGH
from dcam_dist.evaluation.association.gather import Gathered
from dcam_dist.evaluation.association.groups import GroupSummary
from dcam_dist.evaluation.association.models import LOGISTIC
from dcam_dist.evaluation.association.survival import SurvivalRow
from dcam_dist.evaluation.association.tables import model_note, survival_note
from dcam_dist.evaluation.table import table_lines
from dcam_dist.ingest.quality.table import one_line

NONE = "–"
FOUND = 0.05
_LONGEST = 60
_SOURCES = {
    "table": "Clinical table",
    "cohort": "Cohort: case table and scan headers",
    "densitometry": "Densitometry",
}
_READING = (
    "Numbers are the median and the quartiles, categories cases and their share; – stands for fewer than three cases "
    "(six for quartiles), or for a count that would tell one of these. p is of one test over all clusters: "
    "Kruskal-Wallis for numbers, chi-square, Fisher's or a permutation for categories. q is the false discovery rate "
    "(Benjamini-Hochberg) over all variables of one section: of those with q below 0.05, one in twenty is expected to "
    "be chance. The effect is ε² or Cramér's V, 0 to 1; in few cases both are above 0 by chance alone. Pairs of "
    "clusters are in `pairwise.csv`."
)
_SAME_SCANS = (
    "These are measured on the scans that the clusters were made of: their p-values describe the clusters and are no "
    "independent confirmation of them."
)


def page_of(found: Found, cases: ClusteredCases, gathered: Gathered, join: str, warnings: Sequence[str]) -> str:
    """The page in Markdown; names and levels are the user's text, and are escaped.

    Args:
        found: What was found.
        cases: The cases.
        gathered: The variables.
        join: What became of the table's rows, or empty.
        warnings: What to beware of.
    """
    sections = [
        [f"# What the {cases.kind}s go with", ""],
        _about(found, cases, join),
        _warnings(warnings),
        *(_source(source, found.compared, cases) for source in _SOURCES),
        _adjusted(found.modelled, cases, gathered),
        _survival(found, cases, gathered),
        _left_out(gathered),
    ]
    return "\n".join(line for section in sections for line in section)


def shown(text: str) -> str:
    """A user's text in a cell: in one line, cut, and neither Markdown nor HTML."""
    line = one_line(text)
    line = f"{line[: _LONGEST - 1]}…" if len(line) > _LONGEST else line
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]{}()#+!|~])", r"\\\1", line)


def _about(found: Found, cases: ClusteredCases, join: str) -> list[str]:
    of_these, clinical = _differing([one for one in found.compared if one.variable.source != "densitometry"])
    lines = [
        f"{len(cases.records)} cases; {cases.kind}s by {cases.said}.",
        *([f"Table: {join}."] if join else []),
        f"{differing_line(found, cases)}; of the {clinical} that are no densitometry, {of_these}.",
    ]
    return [" ".join(lines), "", _READING, ""]


def differing_line(found: Found, cases: ClusteredCases) -> str:
    """How many of the variables that could be tested differ."""
    differ, tests = _differing(found.compared)
    return f"{differ} of {tests} variables differ between {cases.kind}s at q < {FOUND}"


def _differing(compared: Sequence[Compared]) -> tuple[int, int]:
    tests = [one for one in compared if math.isfinite(one.test.p_value)]
    return sum(one.q_value < FOUND for one in tests), len(tests)


def _warnings(warnings: Sequence[str]) -> list[str]:
    return ["## To beware of", "", *(f"- {shown_line(warning)}" for warning in warnings), ""] if warnings else []


def shown_line(text: str) -> str:
    """A line of ours that holds a user's text: escaped, and not cut."""
    return " ".join(shown(word) for word in text.split())


def _source(source: str, compared: Sequence[Compared], cases: ClusteredCases) -> list[str]:
    rows = [one for one in compared if one.variable.source == source]
    if not rows:
        return []
    sizes = [int((cases.cluster_N == cluster).sum()) for cluster in range(cases.clusters)]
    header = ["", *(f"{cases.title(k)} (n = {size})" for k, size in enumerate(sizes)), "p", "q", "effect"]
    body = [cells for one in rows for cells in _rows(one)]
    note = [_SAME_SCANS, ""] if source == "densitometry" else []
    return [f"## {_SOURCES[source]}", "", *note, *table_lines(header, body), ""]


def _rows(one: Compared) -> Iterator[list[str]]:
    q, bold = p_text(one.q_value), one.q_value < FOUND
    end = [p_text(one.test.p_value), f"**{q}**" if bold else q, _number(one.test.size)]
    if one.test.note:
        end = [one.test.note, NONE, NONE]
    name = shown(one.variable.name)
    if one.variable.kind == "numeric":
        yield [name, *(_median(group) for group in one.groups), *end]
        return
    levels = one.variable.levels
    if one.variable.kind == "binary":
        yield [f"{name} = {shown(levels[-1])}", *(_share(group, levels[-1]) for group in one.groups), *end]
        return
    yield [name, *("" for _ in one.groups), *end]
    for level in levels:
        yield [f"&emsp;{shown(level)}", *(_share(group, level) for group in one.groups), "", "", ""]


def _median(group: GroupSummary) -> str:
    if math.isnan(group.lower):
        return _number(group.median)
    return f"{_number(group.median)} [{_number(group.lower)}, {_number(group.upper)}]"


def _share(group: GroupSummary, level: str) -> str:
    count = group.counts.get(level)
    return NONE if count is None or not group.n else f"{count} ({100 * count / group.n:.0f} %)"


def _adjusted(modelled: Sequence[Modelled], cases: ClusteredCases, gathered: Gathered) -> list[str]:
    if not modelled:
        return []
    names = ", ".join(shown(variable.name) for variable in gathered.adjust)
    clusters = sorted(
        {effect.cluster for one in modelled for effect in one.model.effects if effect.cluster is not None}
    )
    header = ["", *(cases.title(cluster) for cluster in clusters), "reference", "p", "q", "n"]
    body = [_model_row(one, clusters, cases) for one in modelled]
    about = (
        f"Adjusted for {names}. Numbers: difference of means from the reference (least squares, HC3); two levels: odds "
        f"ratio (logistic, robust); with 95 % intervals, but none of numbers where a {cases.kind} has fewer than "
        f"{ENOUGH} complete cases. p and q are of all {cases.kind}s together; q is over the models of one "
        f"section above. Reference is the {cases.kind} with the lowest median LAA-950 of those with {ENOUGH} complete "
        "cases, or else of all."
    )
    return ["## Adjusted", "", about, "", *table_lines(header, body), ""]


def _model_row(one: Modelled, clusters: Sequence[int], cases: ClusteredCases) -> list[str]:
    model = one.model
    name = shown(model.name) + (f" = {shown(model.level)}" if model.level else "")
    if not model.effects:
        return [name, *(NONE for _ in clusters), NONE, NONE, NONE, f"{model.n}; {model_note(model, cases)}"]
    by_cluster = {effect.cluster: effect for effect in model.effects}
    cells = []
    for cluster in clusters:
        effect = by_cluster.get(cluster)
        if effect is None:
            cells.append(NONE if cluster != model.reference else "reference")
            continue
        ends = (effect.estimate, effect.low, effect.high)
        middle, low, high = (_number(math.exp(end) if model.model == LOGISTIC else end) for end in ends)
        cells.append(middle if math.isnan(effect.low) else f"{middle} [{low}, {high}]")
    q = p_text(one.effect_q[-1])
    bold = f"**{q}**" if one.effect_q[-1] < FOUND else q
    n = "; ".join(filter(None, (str(model.n), cases.without(model.left_out, "one level only"))))
    return [name, *cells, cases.title(model.reference), p_text(model.effects[-1].p_value), bold, n]


def _survival(found: Found, cases: ClusteredCases, gathered: Gathered) -> list[str]:
    if not found.survival or gathered.outcome is None:
        return []
    header = ["", "", "n", "events", "median or hazard ratio", "p", "q", ""]
    body = [_survival_row(row, q, cases) for row, q in zip(found.survival, found.survival_q, strict=True)]
    about = (
        f"Time: {shown(gathered.outcome.time_name)}; event: {shown(gathered.outcome.event_name)}. Kaplan-Meier: median "
        "time with its 95 % interval. Cox: hazard ratio to the reference. A small p of proportionality says that the "
        "ratio changes with time, so that one figure does not describe it."
    )
    return ["## Survival", "", about, "", *table_lines(header, body), ""]


def _survival_row(row: SurvivalRow, q: float, cases: ClusteredCases) -> list[str]:
    who = "all" if row.cluster is None else cases.title(row.cluster)
    if row.reference is not None:
        who += f" to {cases.title(row.reference)}"
    known = not math.isnan(row.estimate)
    figure = f"{_number(row.estimate)} [{_number(row.low)}, {_number(row.high)}]" if known else NONE
    n, events = (NONE if count is None else str(count) for count in (row.n, row.events))
    return [row.analysis, who, n, events, figure, p_text(row.p_value), p_text(q), survival_note(row, cases)]


def _left_out(gathered: Gathered) -> list[str]:
    if not gathered.left_out:
        return []
    lines = [f"- {shown(one.name)}: {one.why}" for one in gathered.left_out]
    return ["## Columns that were not looked at", "", *lines, ""]


def p_text(p_value: float) -> str:
    """A p-value as people write it."""
    if math.isnan(p_value):
        return NONE
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"


def _number(value: float) -> str:
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "not reached"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
