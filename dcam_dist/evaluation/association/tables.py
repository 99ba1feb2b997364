"""What was found as tidy CSV: one figure of one variable a line, nothing of single cases.

Figures of one or two cases would be those cases' own; they are left empty.
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from dcam_dist.evaluation.association.analysis import Compared, Found, Modelled
from dcam_dist.evaluation.association.cases import ClusteredCases
from dcam_dist.evaluation.association.models import LOGISTIC, AdjustedModel
from dcam_dist.evaluation.association.survival import SurvivalRow
from dcam_dist.ingest.quality.table import plain_text

Row = dict[str, Any]

COLUMNS = {
    "summary.csv": "variable source kind level cluster n missing median lower upper mean sd count share",
    "tests.csv": "variable source kind test statistic df p q effect effect_size n note",
    "pairwise.csv": "variable source cluster_a cluster_b test statistic p q effect effect_size n_a n_b",
    "adjusted.csv": "variable source model level cluster reference estimate low high error odds_ratio p q n note",
    "survival.csv": "analysis cluster reference n events estimate low high statistic p q note",
}
"""The files and their columns. Clusters are numbered as for people; ``all`` is a test over all of them."""


def tables_of(found: Found, cases: ClusteredCases) -> dict[str, str]:
    """The text of each file that there is something for, by its name."""
    rows = {
        "summary.csv": [row for one in found.compared for row in _summary(one, cases)],
        "tests.csv": [_test(one) for one in found.compared],
        "pairwise.csv": [row for one in found.compared for row in _pairs(one, cases)],
        "adjusted.csv": [row for one in found.modelled for row in _effects(one, cases)],
        "survival.csv": list(_survival(found, cases)),
    }
    always = ("summary.csv", "tests.csv", "pairwise.csv")
    return {name: _as_csv(COLUMNS[name].split(), of) for name, of in rows.items() if of or name in always}


def _summary(one: Compared, cases: ClusteredCases) -> Iterator[Row]:
    head = {"variable": one.variable.name, "source": one.variable.source, "kind": one.variable.kind}
    for group in one.groups:
        row: Row = {**head, "cluster": group.cluster + cases.first, "n": group.n, "missing": group.missing}
        if one.variable.kind == "numeric":
            yield row | {name: getattr(group, name) for name in ("median", "lower", "upper", "mean", "sd")}
            continue
        for level in one.variable.levels:
            count = group.counts.get(level)
            figures = {} if count is None or not group.n else {"count": count, "share": count / group.n}
            yield {**row, "level": level, **figures}


def _test(one: Compared) -> Row:
    test = one.test
    return {
        "variable": one.variable.name,
        "source": one.variable.source,
        "kind": one.variable.kind,
        "test": test.test,
        "statistic": test.statistic,
        "df": test.df,
        "p": test.p_value,
        "q": one.q_value,
        "effect": test.effect,
        "effect_size": test.size,
        "n": test.n,
        "note": test.note,
    }


def _pairs(one: Compared, cases: ClusteredCases) -> Iterator[Row]:
    for pair, q in zip(one.pairs, one.pair_q, strict=True):
        yield {
            "variable": one.variable.name,
            "source": one.variable.source,
            "cluster_a": pair.first + cases.first,
            "cluster_b": pair.second + cases.first,
            "test": pair.test,
            "statistic": pair.statistic,
            "p": pair.p_value,
            "q": q,
            "effect": pair.effect,
            "effect_size": pair.size,
            "n_a": pair.n_first,
            "n_b": pair.n_second,
        }


def _effects(one: Modelled, cases: ClusteredCases) -> Iterator[Row]:
    model = one.model
    head = {
        "variable": model.name,
        "source": one.variable.source,
        "model": model.model,
        "level": model.level,
        "n": model.n,
        "note": model_note(model, cases),
        "reference": "" if model.reference < 0 else model.reference + cases.first,
    }
    if not model.effects:
        yield {**head, "cluster": "all"}
    for effect, q in zip(model.effects, one.effect_q, strict=True):
        ratio = model.model == LOGISTIC and effect.cluster is not None
        yield {
            **head,
            "cluster": "all" if effect.cluster is None else effect.cluster + cases.first,
            "estimate": effect.estimate,
            "low": effect.low,
            "high": effect.high,
            "error": effect.error,
            "odds_ratio": math.exp(effect.estimate) if ratio else math.nan,
            "p": effect.p_value,
            "q": q,
        }


def _survival(found: Found, cases: ClusteredCases) -> Iterator[Row]:
    for row, q in zip(found.survival, found.survival_q, strict=True):
        yield {
            "analysis": row.analysis,
            "cluster": "all" if row.cluster is None else row.cluster + cases.first,
            "reference": "" if row.reference is None else row.reference + cases.first,
            "n": row.n,
            "events": row.events,
            "estimate": row.estimate,
            "low": row.low,
            "high": row.high,
            "statistic": row.statistic,
            "p": row.p_value,
            "q": q,
            "note": survival_note(row, cases),
        }


def model_note(model: AdjustedModel, cases: ClusteredCases) -> str:
    """What to beware of in a model, the clusters that it has to do without among it."""
    return "; ".join(filter(None, (model.note, cases.without(model.left_out, "one level only"))))


def survival_note(row: SurvivalRow, cases: ClusteredCases) -> str:
    """What to beware of in a figure of survival, the clusters that it has to do without among it."""
    return "; ".join(filter(None, (row.note, cases.without(row.left_out, row.why))))


def _as_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(row.get(name, "")) for name in columns} for row in rows)
    return stream.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return plain_text(str(value))
