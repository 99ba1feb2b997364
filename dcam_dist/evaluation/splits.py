"""The cohort's two splits as arrays: ids, labels, densitometry."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.types import CaseRecord

MEASURES = ("laa950", "laa910", "laa856", "perc15", "mean_hu", "volume_ml")


@dataclass(frozen=True, eq=False)
class SplitTable:
    """Both splits in the cohort's stable order.

    Attributes:
        train_id_N: Case ids.
        test_id_N: Case ids.
        train_label_N: Grades, ``UNASSIGNED`` where there is none.
        test_label_N: Grades.
        train_measure_NF: Densitometry in the order of ``measures``; ``None`` when the cohort has none.
        test_measure_NF: The same.
        measures: Names of the measures.
        label_names: The label set.
    """

    train_id_N: tuple[str, ...]
    test_id_N: tuple[str, ...]
    train_label_N: NDArray[np.int64]
    test_label_N: NDArray[np.int64]
    train_measure_NF: NDArray[np.floating[Any]] | None
    test_measure_NF: NDArray[np.floating[Any]] | None
    measures: tuple[str, ...]
    label_names: tuple[str, ...]

    @property
    def identity(self) -> NDArray[np.int64]:
        """The mapping of a supervised method: class k is label k."""
        return np.arange(len(self.label_names), dtype=np.int64)


def splits_of(cohort: Cohort) -> SplitTable:
    """The cohort's cases as a ``SplitTable``."""
    train, test = cohort.split("train"), cohort.split("test")
    return SplitTable(
        train_id_N=tuple(case.case_id for case in train),
        test_id_N=tuple(case.case_id for case in test),
        train_label_N=_labels(train),
        test_label_N=_labels(test),
        train_measure_NF=_measures(train),
        test_measure_NF=_measures(test),
        measures=MEASURES,
        label_names=cohort.description.label_names,
    )


def _labels(cases: tuple[CaseRecord, ...]) -> NDArray[np.int64]:
    return np.array([case.label for case in cases], dtype=np.int64)


def _measures(cases: tuple[CaseRecord, ...]) -> NDArray[np.floating[Any]] | None:
    if any(name not in case.densitometry for case in cases for name in MEASURES):
        return None
    rows = [[case.densitometry[name] for name in MEASURES] for case in cases]
    return np.array(rows, dtype=np.float64).reshape(len(cases), len(MEASURES))
