"""From the cycle's state to a checkpoint and back."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from dcam_dist.distributed import ProcessContext, gather_rows
from dcam_dist.runs import Checkpoint, EpochInHand
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.sampler import in_batches
from dcam_dist.training.state import Clustered, CycleState, TrainingProgress


def checkpoint_of(job: TrainingJob, state: CycleState) -> Checkpoint:
    """What a checkpoint keeps of a run. All ranks call together; it is whole on rank 0."""
    clustered = state.clustered
    in_hand = EpochInHand(
        features=state.features,
        points_NP=clustered.points_NP if clustered and state.features else None,
        batch_SB=state.training.batch_SB if state.training else None,
        tally_RT=_of_all_ranks(_tally(state.training), job.context) if state.training else None,
        skipped=state.training.skipped if state.training else 0,
        extract_stall_s=state.extract_stall_s,
        seconds=state.seconds,
    )
    return Checkpoint(
        position=state.position,
        case_id_N=job.case_id_N,
        engine=job.engine.state(),
        assignment=clustered.assignment if clustered else None,
        clustering=clustered.model if clustered else None,
        previous=state.previous,
        in_hand=in_hand,
        aside=job.aside.names(),
        generators=_generators(job.context),
        best=state.best,
        ranks=job.context.world_size,
        threads=torch.get_num_threads(),
    )


def resume(job: TrainingJob, checkpoint: Checkpoint) -> CycleState:
    """Load engine and random generators from a checkpoint, and give the state to go on from."""
    job.engine.load_state(checkpoint.engine)
    if checkpoint.ranks == job.context.world_size:
        _set_generators(checkpoint, job.context)
    else:
        seed_generators(job, checkpoint.epoch)
    in_hand = checkpoint.in_hand
    clustered = None
    if checkpoint.assignment is not None:
        clustered = Clustered(checkpoint.assignment, checkpoint.clustering, in_hand.points_NP)
    return CycleState(
        position=checkpoint.position,
        clustered=clustered,
        previous=checkpoint.previous,
        features=in_hand.features,
        training=_training(checkpoint, job),
        best=checkpoint.best,
        seconds=in_hand.seconds,
        extract_stall_s=in_hand.extract_stall_s,
    )


def seed_generators(job: TrainingJob, epoch: int) -> None:
    """Begin with torch's random generators: of each rank its own, not the one that its process was born with."""
    torch.manual_seed(job.seed(f"torch, rank {job.context.rank}", epoch))


def _training(checkpoint: Checkpoint, job: TrainingJob) -> TrainingProgress | None:
    in_hand, context = checkpoint.in_hand, job.context
    if in_hand.batch_SB is None or in_hand.tally_RT is None:
        return None
    batch_SB = in_batches(in_hand.batch_SB.ravel(), job.config.training.batch_size)  # which may have been changed
    progress = TrainingProgress(batch_SB, skipped=in_hand.skipped)
    if checkpoint.ranks == context.world_size:  # so that sums are taken in the same order as without the interruption
        loss_sum, hits, draws, stall_s = in_hand.tally_RT[context.rank].tolist()
    elif context.is_main:
        loss_sum, hits, draws = in_hand.tally_RT[:, :3].sum(axis=0).tolist()
        stall_s = float(in_hand.tally_RT[:, 3].max())
    else:
        return progress
    return replace(progress, loss_sum=loss_sum, hits=hits, draws=draws, stall_s=stall_s)


def _tally(training: TrainingProgress) -> torch.Tensor:
    return torch.tensor([[training.loss_sum, training.hits, training.draws, training.stall_s]], dtype=torch.float64)


def _of_all_ranks(row_1T: torch.Tensor, context: ProcessContext) -> NDArray[np.float64]:
    rank = torch.tensor([context.rank], device=context.device)
    return gather_rows(row_1T.to(context.device), rank, context.world_size).cpu().numpy()


def _generators(context: ProcessContext) -> dict[str, NDArray[np.uint8]]:
    states = {"cpu": torch.get_rng_state()}
    if context.device.startswith("cuda"):
        states["cuda"] = torch.cuda.get_rng_state(context.device)
    named = {}
    for kind, state in states.items():
        for rank, row in enumerate(_of_all_ranks(state[None], context)):
            named[f"{rank}/{kind}"] = np.ascontiguousarray(row, dtype=np.uint8)
    return named


def _set_generators(checkpoint: Checkpoint, context: ProcessContext) -> None:
    states = {kind: checkpoint.generators.get(f"{context.rank}/{kind}") for kind in ("cpu", "cuda")}
    if states["cpu"] is not None:
        torch.set_rng_state(torch.from_numpy(states["cpu"].copy()))
    if states["cuda"] is not None and context.device.startswith("cuda"):
        torch.cuda.set_rng_state(torch.from_numpy(states["cuda"].copy()), context.device)
