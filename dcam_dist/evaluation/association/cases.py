"""Which cases are in which cluster: as ``evaluate`` wrote it down, else as the training ended."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.errors import DataError
from dcam_dist.evaluation.association.groups import FEW
from dcam_dist.evaluation.evaluate import CLUSTER_FILE
from dcam_dist.runs import RestoredRun
from dcam_dist.types import CaseRecord


@dataclass(frozen=True, eq=False)
class ClusteredCases:
    """Cases and their clusters.

    Attributes:
        records: The cases with a cluster, in the cohort's order.
        cluster_N: Their clusters, from 0.
        clusters: How many clusters there are, empty ones too.
        first: The number that people give to cluster 0: 1, or 0 for the grades of a supervised run.
        kind: ``cluster`` or ``grade``.
        said: Where they are from, in words.
    """

    records: tuple[CaseRecord, ...]
    cluster_N: NDArray[np.int64]
    clusters: int
    first: int
    kind: str
    said: str

    def title(self, cluster: int) -> str:
        """What people call a cluster, counted from 0 here."""
        return f"{self.kind} {cluster + self.first}"

    def without(self, left_out: Sequence[int], why: str) -> str:
        """That clusters, counted from 0 here, are left out, in words; empty for none."""
        return f"{', '.join(map(self.title, left_out))} left out: {why}" if left_out else ""

    def warnings(self) -> list[str]:
        """What keeps the clusters from being compared as one would wish."""
        sizes_K = np.bincount(self.cluster_N, minlength=self.clusters)
        few = [f"{self.title(k)} ({size})" for k, size in enumerate(sizes_K.tolist()) if size < FEW]
        found = [f"fewer than {FEW} cases, so in no model: {', '.join(few)}"] if few else []
        again = len(self.records) - len({record.patient_key for record in self.records})
        if again:
            found.append(f"{again} scans are a patient's second or later one; the tests take all scans as independent")
        return found


def clustered_cases(run: RestoredRun, cohort: Cohort) -> ClusteredCases:
    """The cases of a run with their clusters.

    Raises:
        DataError: When ``clusters.csv`` is not of this run and cohort.
    """
    supervised = run.config.method == "supervised"
    first, kind = (0, "grade") if supervised else (1, "cluster")
    file = run.path / CLUSTER_FILE
    if file.is_file():
        cluster_of = _read(file, cohort, run.config.classes, first)
        said = f"{CLUSTER_FILE} of evaluate, both splits"
    else:
        cluster_of = {case_id: label for case_id, label in run.assignment.by_case().items() if label >= 0}
        said = f"the training's closing assignment, training split only (evaluate writes {CLUSTER_FILE} for both)"
    records = tuple(record for record in cohort.cases if record.case_id in cluster_of)
    cluster_N = np.array([cluster_of[record.case_id] for record in records], np.int64)
    return ClusteredCases(records, cluster_N, run.config.classes, first, kind, said)


def _read(file: Path, cohort: Cohort, clusters: int, first: int) -> dict[str, int]:
    known = {record.case_id for record in cohort.cases}
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            found = {row["case_id"]: int(row["cluster"]) - first for row in csv.DictReader(stream)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise DataError(f"{file}: not a table of evaluate; run evaluate again") from None
    if not known.issuperset(found) or not all(0 <= cluster < clusters for cluster in found.values()) or not found:
        raise DataError(f"{file}: of another cohort or run; run evaluate again")
    return found
