"""What the cycle carries from phase to phase, and a checkpoint keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering import ClusterModel
from dcam_dist.runs import BestWeights
from dcam_dist.types import Assignment, FeatureTable, Phase, Position


@dataclass(frozen=True, eq=False)
class Clustered:
    """One clustering of the training cases.

    Attributes:
        assignment: Cluster ids of all training cases, ``UNASSIGNED`` for those set aside; the same on all ranks.
        model: The model; ``None`` for the labels of a supervised run.
        points_NP: The cases that have a cluster, in the clustering space; ``None`` without a model, and when resumed
            between two epochs.
    """

    assignment: Assignment
    model: ClusterModel | None
    points_NP: NDArray[np.floating[Any]] | None


@dataclass(frozen=True, eq=False)
class TrainingProgress:
    """How far the training phase has come.

    Attributes:
        batch_SB: The global batches still to be taken, rows of the training cases, (steps, batch size).
        loss_sum: Of this rank's draws so far.
        hits: Of this rank's draws, those whose label the head gave before the step that used them.
        draws: Of this rank, in the steps that were taken.
        stall_s: Seconds that this rank waited for volumes.
        skipped: Steps left out because the loss was not finite; the same on all ranks.
    """

    batch_SB: NDArray[np.int64]
    loss_sum: float = 0.0
    hits: float = 0.0
    draws: float = 0.0
    stall_s: float = 0.0
    skipped: int = 0


@dataclass(frozen=True, eq=False)
class CycleState:
    """Where the cycle stands and what it has in hand; engine and damaged cases are kept beside it.

    Attributes:
        position: The phase that comes next, or the step of the training phase.
        clustered: The newest clustering; supervised: the labels.
        previous: The assignment before it, from the clustering to the epoch's end.
        features: Of the epoch in hand, from the extraction to the epoch's end.
        training: The training phase in hand.
        best: For early stopping.
        seconds: Wall seconds of the epoch's phases so far.
        extract_stall_s: Seconds that the extraction waited for volumes.
    """

    position: Position
    clustered: Clustered | None = None
    previous: Assignment | None = None
    features: FeatureTable | None = None
    training: TrainingProgress | None = None
    best: BestWeights | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    extract_stall_s: float = 0.0

    def then(self, phase: Phase, **changes: Any) -> "CycleState":
        """The same epoch before another of its phases."""
        return replace(self, position=Position(self.position.epoch, phase), **changes)

    def next_epoch(self, phase: Phase) -> "CycleState":
        """Before a phase of the next epoch, with nothing of this one in hand but its clustering."""
        return CycleState(Position(self.position.epoch + 1, phase), clustered=self.clustered, best=self.best)

    def between_epochs(self) -> bool:
        """Whether an epoch, or the run, has just ended or not yet begun."""
        return self.position.phase is Phase.DONE or not self.seconds

    def spent(self, phase: str, seconds: float) -> dict[str, float]:
        """The epoch's seconds with some more of one phase."""
        return {**self.seconds, phase: self.seconds.get(phase, 0.0) + seconds}


@dataclass(frozen=True)
class EpochOutcome:
    """What an epoch of training came to.

    Attributes:
        loss: Mean loss over all draws of all ranks.
        hit_rate: Share of the draws whose label the head gave before the step that used them.
        steps: Optimizer steps.
        volumes: Cases drawn by all ranks.
        stall_s: Seconds that a rank waited for volumes, of the one that waited longest.
        skipped: Steps left out because the loss was not finite.
    """

    loss: float
    hit_rate: float
    steps: int
    volumes: int
    stall_s: float
    skipped: int = 0


@dataclass(frozen=True, eq=False)
class EpochResult:
    """One turn of the cycle.

    Attributes:
        epoch: Its number, from 0.
        clustered: The clustering that gave its pseudo-labels.
        previous: The assignment before it; ``None`` in the first epoch.
        outcome: Loss, steps, stall.
        seconds: Wall seconds of each phase.
        extract_stall_s: Seconds that the extraction waited for volumes.
        validation: Figures on the validation cases, where there are some.
    """

    epoch: int
    clustered: Clustered
    previous: Assignment | None
    outcome: EpochOutcome
    seconds: Mapping[str, float]
    extract_stall_s: float = 0.0
    validation: Mapping[str, float] = field(default_factory=dict)
