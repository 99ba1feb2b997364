"""The few figures on which the report's verdicts and warnings rest."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.evaluate import DENSITOMETRY_ROWS, HEAD, UNTRAINED
from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.maps.naming import ClassNames
from dcam_dist.report.confounding import Confounding
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
        disagreement: Share of the cases whose cluster is not the head's answer; ``None`` where it is not known.
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
    disagreement: float | None = None
    set_aside: int = 0
    quarantined: int = 0
    outdated: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def own(self) -> MethodScores | None:
        """The run's own row."""
        return self.scores.get(self.method)

    @property
    def untrained(self) -> MethodScores | None:
        """The same network with its first, random weights."""
        return self.scores.get(self.method + UNTRAINED)

    @property
    def head(self) -> MethodScores | None:
        """The head's answers."""
        return self.scores.get(self.method + HEAD)

    @property
    def densitometry(self) -> dict[str, MethodScores]:
        """The baselines that know no network."""
        return {row: self.scores[row] for row in DENSITOMETRY_ROWS if row in self.scores}

    @property
    def judged_split(self) -> Split:
        """The split that is judged: test where it has labels, for the matching was fitted on train."""
        own = self.own
        return "test" if own is not None and own.test.clustering_accuracy is not None else "train"


def accuracy(row: MethodScores | None, split: Split) -> float | None:
    """A row's clustering accuracy on one split; ``None`` without the row or without labels."""
    return None if row is None else row.of(split).clustering_accuracy
