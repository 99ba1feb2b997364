"""A finished run and its cases, read once for all sections of the report."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.distributed import open_processes
from dcam_dist.errors import DataError
from dcam_dist.evaluation.evaluate import CLUSTER_FILE
from dcam_dist.evaluation.stored import StoredEvaluation, evaluation_of
from dcam_dist.maps.naming import ClassNames, class_names
from dcam_dist.metrics import contingency
from dcam_dist.report.placing import Placed, place_training_cases
from dcam_dist.runs import RestoredRun, SetAsideCase, open_cohort_of, read_set_aside, restore_run
from dcam_dist.runs.metrics_lines import read_metrics
from dcam_dist.types import UNASSIGNED, CaseRecord

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Study:
    """What the sections are made from. Arrays have one row for each of ``cases``, of both splits.

    Attributes:
        run: The run.
        cohort: Its cohort.
        names: What its classes are called.
        placed: The training cases in the clustering space.
        cluster_N: Class of each case, from 0; ``UNASSIGNED`` where it is not known.
        head_N: The head's answer, in the same way.
        evaluation: What ``evaluate`` found; ``None`` where the run was not evaluated, or is in another state by now.
        outdated: Training cases whose cluster in ``clusters.csv`` is not the run's.
        metrics: The lines of ``metrics.jsonl``.
        set_aside: What the training went on without.
    """

    run: RestoredRun
    cohort: Cohort
    names: ClassNames
    placed: Placed
    cluster_N: Ids
    head_N: Ids
    evaluation: StoredEvaluation | None
    outdated: int
    metrics: tuple[Mapping[str, Any], ...]
    set_aside: tuple[SetAsideCase, ...]

    @property
    def cases(self) -> tuple[CaseRecord, ...]:
        """All accepted cases, in the cohort's order."""
        return self.cohort.cases

    @property
    def classes(self) -> int:
        """Their number."""
        return len(self.names.titles)

    @cached_property
    def patients(self) -> int:
        """Patients among all cases."""
        return len({case.patient_key for case in self.cases})

    @cached_property
    def labelled(self) -> int:
        """Cases with a label, of both splits."""
        return int((self.label_N >= 0).sum())

    @cached_property
    def label_N(self) -> Ids:  # noqa: N802 - an array, like the others
        """Labels of the cases."""
        return np.array([case.label for case in self.cases], dtype=np.int64)

    @cached_property
    def is_train_N(self) -> NDArray[np.bool_]:  # noqa: N802
        """Which cases the network was trained on."""
        return np.array([case.split == "train" for case in self.cases], dtype=bool)

    @cached_property
    def heads_KK(self) -> Ids | None:  # noqa: N802
        """Cases by cluster (row) and head's answer (column); ``None`` where the head decides, or is not known."""
        if self.run.checkpoint.clustering is None:
            return None
        heads_KK = contingency(self.cluster_N, self.head_N, self.classes, self.classes)
        return heads_KK if heads_KK.any() else None

    def sizes(self, *, train: bool) -> Ids:
        """Cases of each class in one split."""
        here_N = (self.is_train_N == train) & (self.cluster_N >= 0)
        return np.bincount(self.cluster_N[here_N], minlength=self.classes)


def open_study(run: Path, cohort: Path | None = None) -> Study:
    """Read a finished run, its cohort, and what was evaluated of it.

    The features of the training cases are those that the closing clustering kept; of a supervised run, which keeps
    none, the training cases go through the network once more.

    Raises:
        UsageError: No finished run, no cohort, or another grid than the run's.
        DataError: A damaged checkpoint, table or volume.
    """
    restored = restore_run(run)
    opened = open_cohort_of(restored, cohort)
    names = class_names(restored.config)
    with open_processes() as context:
        placed = place_training_cases(restored, opened, context)
        restored.network.to("cpu")
    evaluation = _evaluation(restored)
    told = {} if evaluation is None else _evaluated_clusters(run, names)
    known = dict(zip(placed.case_id_N, placed.class_N.tolist(), strict=True))
    return Study(
        run=restored,
        cohort=opened,
        names=names,
        placed=placed,
        cluster_N=_of_cases(opened, {case_id: pair[0] for case_id, pair in told.items()} | known),
        head_N=_of_cases(opened, {case_id: pair[1] for case_id, pair in told.items()}),
        evaluation=evaluation,
        outdated=sum(case_id in told and told[case_id][0] != number for case_id, number in known.items()),
        metrics=tuple(read_metrics(run)),
        set_aside=read_set_aside(run),
    )


def _evaluation(run: RestoredRun) -> StoredEvaluation | None:
    """Of the run as it is now; a damaged one counts as none: the report says that it is missing."""
    try:
        return evaluation_of(run)
    except DataError:
        return None


def _evaluated_clusters(run: Path, names: ClassNames) -> dict[str, tuple[int, int]]:
    """Cluster and head's answer of each case by ``clusters.csv``, from 0; empty without a file that can be read."""
    try:
        with (run / CLUSTER_FILE).open(encoding="utf-8", newline="") as stream:
            rows = [
                (row["case_id"], int(row["cluster"]) - names.first, int(row["head_cluster"]) - names.first)
                for row in csv.DictReader(stream)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return {}
    classes = range(len(names.titles))
    return {case_id: (own, head) for case_id, own, head in rows if own in classes and head in classes}


def _of_cases(cohort: Cohort, number_of: Mapping[str, int]) -> Ids:
    return np.array([number_of.get(case.case_id, UNASSIGNED) for case in cohort.cases], dtype=np.int64)
