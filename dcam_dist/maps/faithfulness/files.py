"""``faithfulness.json``: every number of every case, and how it is read back."""

from pathlib import Path
from typing import Any

from dcam_dist.cohort.layout import read_json
from dcam_dist.errors import DataError
from dcam_dist.maps.faithfulness.measure import RunMeasures
from dcam_dist.maps.faithfulness.stored import FORMAT, case_of, case_to_json, rules_of, rules_to_json
from dcam_dist.maps.faithfulness.summary import estimates, plain
from dcam_dist.maps.naming import ClassNames


def run_to_json(run: RunMeasures) -> dict[str, Any]:
    """A run's measures as plain JSON types, classes counted as in everything that is written."""
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
        "rules": rules_to_json(run.rules),
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


def _run_of(tree: dict[str, Any]) -> RunMeasures:
    classes = tree["classes"]
    names = ClassNames(classes["kind"], tuple(classes["titles"]), tuple(classes["stems"]), classes["first"])
    return RunMeasures(
        method=tree["method"],
        own=tree["own"],
        names=names,
        label_names=tuple(tree["labels"]),
        split=tree["split"],
        normal_hu=tree["normal_hu"],
        rules=rules_of(tree["rules"]),
        cases=tuple(case_of(case, names) for case in tree["cases"]),
        bootstrap=tree["bootstrap"],
        seed=tree["seed"],
    )
