"""What a checkpoint holds: the nouns. ``checkpoint_files`` is how they lie on the disk, ``checkpoints`` the folders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcam_dist.clustering import ClusterModel
from dcam_dist.types import Assignment, FeatureTable, Phase, Position


@dataclass(frozen=True, eq=False)
class EpochInHand:
    """What the epoch in hand has made so far, kept so that a resumed run neither repeats nor loses it.

    Attributes:
        features: The extracted features; ``None`` before the end of the extraction.
        points_NP: Their rows in the clustering space; ``None`` before the clustering, or where it has no model.
        batch_SB: The global batches still to be drawn, int64 rows of the training cases, (steps, batch size); ``None``
            outside the training phase.
        tally_RT: What each rank has added up in the training phase, float64 (ranks, figures).
        skipped: Steps left out because the loss was not finite.
        extract_stall_s: Seconds that the extraction waited for volumes.
        seconds: Wall seconds of each phase so far.
    """

    features: FeatureTable | None = None
    points_NP: NDArray[np.floating[Any]] | None = None
    batch_SB: NDArray[np.int64] | None = None
    tally_RT: NDArray[np.float64] | None = None
    skipped: int = 0
    extract_stall_s: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class BestWeights:
    """The network at its best validation loss.

    Attributes:
        epoch: Of which epoch it is, from 0.
        loss: The validation loss.
        network: Parameters and buffers by name.
    """

    epoch: int
    loss: float
    network: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that training goes on from, and everything that evaluation and maps need.

    Attributes:
        position: Where the run stands; ``Phase.DONE`` with the closing clustering made.
        case_id_N: The training cases, in the cohort's stable order.
        engine: Parameters, buffers, optimizer state by name, as ``Engine.state`` gives them.
        assignment: The newest clusters of the training cases; ``None`` before the first clustering.
        clustering: The model behind the assignment; ``None`` for supervised runs.
        previous: The assignment before it, inside an epoch.
        in_hand: What the epoch in hand has made so far.
        aside: Training cases that turned out damaged.
        generators: State of each rank's random generators, uint8, named ``RANK/cpu`` and ``RANK/cuda``.
        best: For early stopping.
        proven: The newest earlier checkpoint that was followed by a step with finite loss and gradients, so its weights
            are known to be good; ``None``: none is known to be.
        sound: The newest earlier checkpoint from before an epoch's steps whose weights gave features that formed
            clusters; ``None``: none is known to be, as in supervised runs.
        ranks: How many wrote it. Training goes on bit for bit on as many, with as many threads.
        threads: Compute threads of each.
    """

    position: Position
    case_id_N: tuple[str, ...]
    engine: dict[str, Tensor]
    assignment: Assignment | None = None
    clustering: ClusterModel | None = None
    previous: Assignment | None = None
    in_hand: EpochInHand = field(default_factory=EpochInHand)
    aside: tuple[str, ...] = ()
    generators: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    best: BestWeights | None = None
    proven: Position | None = None
    sound: Position | None = None
    ranks: int = 1
    threads: int = 1

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self.position.epoch

    @property
    def finished(self) -> bool:
        """Whether training is over, with the closing clustering made."""
        return self.position.phase is Phase.DONE
