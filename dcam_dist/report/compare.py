"""Rows of other runs of the same cohort, beside this one's in Table 1."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from dcam_dist.errors import DataError, UsageError
from dcam_dist.evaluation.evaluate import CLUSTER_FILE, DENSITOMETRY_ROWS, JSON_FILE
from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.evaluation.stored import read_evaluation
from dcam_dist.report.study import Study


def with_others(
    study: Study, own: Mapping[str, MethodScores], runs: Sequence[Path]
) -> tuple[dict[str, MethodScores], tuple[str, ...]]:
    """Table 1 of several runs: this one first, then each in the order given, last what knows no network.

    A run is called by its method; a second one of a method gets a number. Folders are not named.

    Args:
        study: This run.
        own: Its rows.
        runs: Other runs.

    Returns:
        The rows, and the names of the runs.

    Raises:
        UsageError: A run that was not evaluated, or on other cases or splits.
    """
    if runs and not own:
        raise UsageError(f"{study.run.path}: not evaluated; run dcam-dist evaluate on it before it is compared")
    names: list[str] = [study.run.config.method]
    rows = {name: row for name, row in own.items() if name not in DENSITOMETRY_ROWS}
    last = {name: row for name, row in own.items() if name in DENSITOMETRY_ROWS}
    for run in runs:
        method, found = _rows_of(study, run)
        number = 1 + sum(name.partition(" (")[0] == method for name in names)
        names.append(method if number == 1 else f"{method} ({number})")
        for row, scores in found.items():
            if row in DENSITOMETRY_ROWS and row in last and scores.to_dict() == last[row].to_dict():
                continue
            rows[f"{names[-1]}, {row}" if row in DENSITOMETRY_ROWS else names[-1] + row.removeprefix(method)] = scores
    return rows | last, tuple(names)


def _rows_of(study: Study, run: Path) -> tuple[str, dict[str, MethodScores]]:
    try:
        found = read_evaluation(run)
    except DataError:
        found = None
    if found is None or not found.rows:
        raise UsageError(f"{run}: no {JSON_FILE} that can be read; run dcam-dist evaluate on it first")
    if _cases_of(run) != {(case.case_id, case.split) for case in study.cases}:
        raise UsageError(
            f"{run}: was evaluated on other cases or splits than {study.run.path}; compare runs of one cohort"
        )
    return found.method, found.rows


def _cases_of(run: Path) -> set[tuple[str, str]]:
    try:
        with (run / CLUSTER_FILE).open(encoding="utf-8", newline="") as stream:
            return {(row["case_id"], row["split"]) for row in csv.DictReader(stream)}
    except (OSError, KeyError, ValueError, csv.Error):
        return set()
