"""``faithfulness.json``: every number of every case, and how it is read back."""

from pathlib import Path
from typing import Any

import numpy as np

from dcam_dist.cohort.layout import read_json
from dcam_dist.errors import DataError
from dcam_dist.maps.faithfulness.case import SCORES, CaseMeasures, Values
from dcam_dist.maps.faithfulness.curves import Curves
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.overlap import Rule
from dcam_dist.maps.faithfulness.summary import estimates, plain
from dcam_dist.maps.naming import ClassNames

FORMAT = 1
DIGITS = 5
"""Significant ones, of every number of a case."""


def run_to_json(run: RunMeasures) -> dict[str, Any]:
    """A run's measures as plain JSON types, classes counted as in everything that is written."""
    rules = [
        {"method": method, "target": target, "by_class": [_rule(rule) for rule in by_class]}
        for (method, target), by_class in run.rules.items()
    ]
    return {
        "format": FORMAT,
        "method": run.method,
        "own": run.own,
        "classes": {
            "kind": run.names.kind,
            "titles": list(run.names.titles),
            "stems": list(run.names.stems),
            "first": run.names.first,
        },
        "labels": list(run.label_names),
        "split": run.split,
        "normal_hu": run.normal_hu,
        "bootstrap": run.bootstrap,
        "seed": run.seed,
        "estimates": {
            method: {name: plain(found) for name, found in by_name.items()}
            for method, by_name in estimates(run).items()
        },
        "rules": rules,
        "cases": [case_to_json(case, run.names) for case in run.cases],
    }


def read_run(path: Path) -> RunMeasures:
    """Read a ``faithfulness.json`` back.

    Raises:
        DataError: When it is missing, damaged or of another format.
    """
    tree = read_json(path)
    try:
        if tree["format"] != FORMAT:
            raise DataError(f"{path}: format {tree['format']}, this release reads {FORMAT}; measure the run again")
        return _run_of(tree)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); measure the run again: dcam-dist faithfulness") from None


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
        "curves": {
            method: {name: _curves(both) for name, both in by_name.items()} for method, by_name in found.curves.items()
        },
    }


def _run_of(tree: dict[str, Any]) -> RunMeasures:
    classes = tree["classes"]
    names = ClassNames(classes["kind"], tuple(classes["titles"]), tuple(classes["stems"]), classes["first"])
    rules = {
        (one["method"], one["target"]): tuple(
            Rule(rule["sign"], float("inf") if rule["threshold"] is None else rule["threshold"])
            for rule in one["by_class"]
        )
        for one in tree["rules"]
    }
    return RunMeasures(
        method=tree["method"],
        own=tree["own"],
        names=names,
        label_names=tuple(tree["labels"]),
        split=tree["split"],
        normal_hu=tree["normal_hu"],
        rules=rules,
        cases=tuple(_case_of(case, names) for case in tree["cases"]),
        bootstrap=tree["bootstrap"],
        seed=tree["seed"],
    )


def _case_of(tree: dict[str, Any], names: ClassNames) -> CaseMeasures:
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
        curves={
            method: {name: _curves_of(both) for name, both in by_name.items()}
            for method, by_name in tree["curves"].items()
        },
    )


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
    return {"sign": rule.sign, "threshold": None if np.isinf(rule.threshold) else rule.threshold}


def _numbers(values: Values) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.{DIGITS}g}")


def _all_known(values: dict[str, float | None]) -> Values:
    return {name: _known(value) for name, value in values.items()}


def _known(value: float | None) -> float:
    return float("nan") if value is None else value
