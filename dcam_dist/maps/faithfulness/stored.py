"""Cases and rules as plain JSON types, for the finished file and for what is kept on the way."""

from typing import Any

import numpy as np

from dcam_dist.maps.faithfulness.case import SCORES, CaseMeasures, Rules, Values
from dcam_dist.maps.faithfulness.curves import Curves
from dcam_dist.maps.faithfulness.overlap import Rule
from dcam_dist.maps.naming import ClassNames

FORMAT = 2
DIGITS = 5
"""Significant ones, of every number of a case."""


def case_to_json(found: CaseMeasures, names: ClassNames) -> dict[str, Any]:
    """One case as plain JSON types; what is not defined is null."""
    return {
        "case_id": found.case_id,
        "split": found.split,
        names.kind: found.class_id + names.first,
        "label": found.label,
        "head_agrees": found.head_agrees,
        "invariant": _number(found.invariant),
        "prevalence": _numbers(found.prevalence),
        "ceiling": _numbers(found.ceiling),
        "values": {method: _numbers(values) for method, values in found.values.items()},
        "similarity": {stage: _numbers(values) for stage, values in found.similarity.items()},
        "chance_similarity": _number(found.chance_similarity),
        "curves": {
            method: {name: _curves(both) for name, both in by_name.items()} for method, by_name in found.curves.items()
        },
    }


def case_of(tree: dict[str, Any], names: ClassNames) -> CaseMeasures:
    """What ``case_to_json`` made of a case."""
    return CaseMeasures(
        case_id=tree["case_id"],
        split=tree["split"],
        class_id=tree[names.kind] - names.first,
        label=tree["label"],
        head_agrees=tree["head_agrees"],
        invariant=_known(tree["invariant"]),
        prevalence=_all_known(tree["prevalence"]),
        ceiling=_all_known(tree["ceiling"]),
        values={method: _all_known(values) for method, values in tree["values"].items()},
        similarity={stage: _all_known(values) for stage, values in tree["similarity"].items()},
        chance_similarity=_known(tree["chance_similarity"]),
        curves={
            method: {name: _curves_of(both) for name, both in by_name.items()}
            for method, by_name in tree["curves"].items()
        },
    )


def rules_to_json(rules: Rules) -> list[dict[str, Any]]:
    """Rules by method and target, those of the classes in their order."""
    return [
        {"method": method, "target": target, "by_class": [_rule(rule) for rule in by_class]}
        for (method, target), by_class in rules.items()
    ]


def rules_of(tree: list[dict[str, Any]]) -> Rules:
    """What ``rules_to_json`` made of them."""
    return {
        (one["method"], one["target"]): tuple(
            Rule(rule["sign"], float("inf") if rule["threshold"] is None else rule["threshold"], rule["cases"])
            for rule in one["by_class"]
        )
        for one in tree
    }


def _curves(both: Curves) -> dict[str, Any]:
    return {
        score: {
            "deletion": [_number(value) for value in both.deletion_SM[:, place]],
            "insertion": [_number(value) for value in both.insertion_SM[:, place]],
        }
        for place, score in enumerate(SCORES)
        if not np.isnan(both.deletion_SM[:, place]).any()
    }


def _curves_of(tree: dict[str, Any]) -> Curves:
    steps = len(tree[SCORES[0]]["deletion"])
    unknown = [float("nan")] * steps

    def columns(kind: str) -> Any:
        return np.array([tree[score][kind] if score in tree else unknown for score in SCORES]).T

    return Curves(columns("deletion"), columns("insertion"))


def _rule(rule: Rule) -> dict[str, float | None]:
    return {
        "sign": rule.sign,
        "threshold": None if np.isinf(rule.threshold) else rule.threshold,
        "cases": rule.cases,
    }


def _numbers(values: Values) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.{DIGITS}g}")


def _all_known(values: dict[str, float | None]) -> Values:
    return {name: _known(value) for name, value in values.items()}


def _known(value: float | None) -> float:
    return float("nan") if value is None else value
