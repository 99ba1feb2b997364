"""The few figures on which the report's verdicts and warnings rest."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.evaluate import DENSITOMETRY_ROWS, UNTRAINED
from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.maps.naming import ClassNames
from dcam_dist.report.confounding import Confounding
from dcam_dist.report.differences import too_few
from dcam_dist.report.steadiness import Steadiness
from dcam_dist.types import Split


@dataclass(frozen=True, eq=False)
class Facts:
    """What is judged.

    Attributes:
        method: ``dcam``, ``baseline`` or ``supervised``.
        names: What the classes are called.
        size_K: Training cases of each class.
        labelled: Cases with a label, of both splits.
        scores: Rows of the evaluation by name; empty without one.
        confounding: How far classes go with the acquisition.
        steadiness: How far clusters come again; ``None`` for a supervised run.
        heads_KK: Cases of each cluster (row) by the head's answer (column); ``None`` for a supervised run, and where
            the head's answers are not known.
        patients: Patients among all cases.
        cases: All cases.
        settled: NMI of the last epoch's clusters to the epoch before; ``None`` where it was not told.
        set_aside: Training cases that the training went on without.
        quarantined: Cases that ingest set aside.
        outdated: Training cases whose evaluated cluster is not the run's.
        unreadable: Cases that could not be shown because their volumes are damaged.
    """

    method: str
    names: ClassNames
    size_K: NDArray[np.int64]
    labelled: int
    scores: Mapping[str, MethodScores]
    confounding: Confounding
    steadiness: Steadiness | None = None
    heads_KK: NDArray[np.int64] | None = None
    patients: int = 0
    cases: int = 0
    settled: float | None = None
    set_aside: int = 0
    quarantined: int = 0
    outdated: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def disagreement(self) -> float | None:
        """Share of the cases whose cluster is not the head's answer."""
        total = 0 if self.heads_KK is None else int(self.heads_KK.sum())
        return None if self.heads_KK is None or not total else 1 - float(np.trace(self.heads_KK)) / total

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Clusters that have cases and are the head's answer to none."""
        if self.heads_KK is None:
            return ()
        silent_K = never_answered(self.heads_KK)
        return tuple(title for title, silent in zip(self.names.titles, silent_K, strict=True) if silent)

    @property
    def few(self) -> bool:
        """Whether the training cases are too few for anything to be ruled out."""
        return too_few(int(self.size_K.sum()), len(self.size_K))

    @property
    def own(self) -> MethodScores | None:
        """The run's own row."""
        return self.scores.get(self.method)

    @property
    def untrained(self) -> MethodScores | None:
        """The same network with its first, random weights."""
        return self.scores.get(self.method + UNTRAINED)

    @property
    def densitometry(self) -> dict[str, MethodScores]:
        """The baselines that know no network."""
        return {row: self.scores[row] for row in DENSITOMETRY_ROWS if row in self.scores}

    @property
    def judged_split(self) -> Split:
        """The split that is judged: test where it has labels, for the matching was fitted on train."""
        own = self.own
        return "test" if own is not None and own.test.clustering_accuracy is not None else "train"


def never_answered(heads_KK: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which clusters have cases and are the head's answer to none, by ``Facts.heads_KK``."""
    silent_K: NDArray[np.bool_] = (heads_KK.sum(axis=1) > 0) & (heads_KK.sum(axis=0) == 0)
    return silent_K


def accuracy(row: MethodScores | None, split: Split) -> float | None:
    """A row's clustering accuracy on one split; ``None`` without the row or without labels."""
    return None if row is None else row.of(split).clustering_accuracy
