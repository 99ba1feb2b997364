"""Made-up checkpoints with every field in use, each of its own content, and how two of them are compared."""

from dataclasses import replace

import numpy as np
import torch

from dcam_dist.clustering import ClusterModel
from dcam_dist.runs import BestWeights, Checkpoint, EpochInHand
from dcam_dist.runs.checkpoint_files import to_files
from dcam_dist.types import Assignment, FeatureTable, Phase, Position

CASES, CHANNELS, AXES, CLUSTERS = 12, 6, 3, 4


def state_of(index: int, *, numbers: int = 1000) -> Checkpoint:
    """The checkpoint of a number, the same at every call; ``index_of`` finds the number again.

    Args:
        index: Later ones stand at later positions; the last of every four stands where the one before it does.
        numbers: Parameters of the network; the optimizer has as many, and so have the best weights.
    """
    rng = np.random.default_rng(index)

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    position = _position(index)
    case_id_N = tuple(f"case{row}" for row in range(CASES))
    whole = Assignment(rng.integers(-1, CLUSTERS, CASES), case_id_N, position.epoch, float(rng.normal()), 1)
    model = ClusterModel(
        floats(CHANNELS), floats(CHANNELS), floats(AXES, CHANNELS), floats(AXES), floats(CLUSTERS, AXES), True, False
    )
    hand = EpochInHand(
        features=FeatureTable(floats(CASES - 1, CHANNELS), case_id_N[1:]),
        points_NP=floats(CASES - 1, AXES),
        batch_SB=rng.integers(0, CASES, (5, 4)),
        tally_RT=rng.normal(size=(2, 3)),
        skipped=index,
        extract_stall_s=float(rng.random()),
        seconds={"extract": float(rng.random())},
    )
    return Checkpoint(
        position=position,
        case_id_N=case_id_N,
        engine={
            "network.w": torch.from_numpy(floats(numbers)),
            "optimizer.w/momentum_buffer": torch.from_numpy(floats(numbers)),
            "optimizer.w/step": torch.tensor(float(index)),
        },
        assignment=whole,
        clustering=model,
        previous=replace(whole, inertia=float("nan")),
        in_hand=hand,
        aside=case_id_N[:1],
        generators={f"{rank}/cpu": rng.integers(0, 256, 64, dtype=np.uint8) for rank in range(2)},
        best=BestWeights(1, float("inf"), {"w": torch.from_numpy(floats(numbers))}),
        proven=Position(position.epoch, Phase.EXTRACT, 3),
        sound=Position(position.epoch, Phase.EXTRACT, 2),
        ranks=2,
        threads=3,
    )


def index_of(checkpoint: Checkpoint) -> int:
    """The number that ``state_of`` made it of."""
    return checkpoint.in_hand.skipped


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints are the same to the last bit of every field."""
    return dict(to_files(one, {})) == dict(to_files(other, {}))


def _position(index: int) -> Position:
    phase, step = ((Phase.EXTRACT, 0), (Phase.TRAIN, 0), (Phase.TRAIN, 5), (Phase.TRAIN, 5))[index % 4]
    return Position(index // 4, phase, step)
