"""The paper's cycle. Each epoch: extract, cluster, reset the head, train; and again.

"For each epoch, we first extracted features for all x_n by forward-passing x_n to f_θ with frozen parameters.
These features were later scaled and PCA-reduced. Next, k-means clustering was applied … The cluster assignment was
used as the classification pseudo-label for training a classification head g_W together with f_θ … The parameters
in g_W were reset to a random initialization at each epoch before training g_W."

Each phase takes the state that the one before it left, and leaves its own; so the cycle goes on from any of them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from dcam_dist.distributed import agree_on_place
from dcam_dist.errors import Collapsed, Diverged
from dcam_dist.training.epoch import train_epoch
from dcam_dist.training.extract import Extraction, extract_readable
from dcam_dist.training.job import TrainingJob
from dcam_dist.training.pseudo_labels import cluster_cases
from dcam_dist.training.state import CycleState
from dcam_dist.types import FeatureTable, Phase, Position

PhaseOfCycle = Callable[[TrainingJob, CycleState], CycleState]


def run_cycle(job: TrainingJob, state: CycleState) -> CycleState:
    """Turn the cycle from where it stands to its end.

    Returns:
        The state with the closing clustering: the features of the finished network, clustered once more and matched to
        the ids that the head was trained on, so that centroids, head and maps speak of the same clusters.

    Raises:
        StopRequested: When it was asked to leave; a checkpoint then holds the state.
    """
    phases = {Phase.EXTRACT: extract, Phase.CLUSTER: cluster, Phase.RESET: reset_head, Phase.TRAIN: train}
    return run_phases(job, state, phases)


def run_phases(job: TrainingJob, state: CycleState, phases: Mapping[Phase, PhaseOfCycle]) -> CycleState:
    """Run the phase that comes next until the state is done; between two phases the ranks meet.

    Raises:
        RankLost: When the ranks are at different places.
        Diverged, Collapsed: When the weights are no longer good; the checkpoints that hold such are gone. Says how to
            go on.
    """
    try:
        while state.position.phase is not Phase.DONE:
            agree_on_place(str(state.position), job.context)
            state = phases[state.position.phase](job, state)
            if state.between_epochs():
                job.boundary.close_epoch(state)
            if state.position.phase is not Phase.DONE:
                job.boundary.cross(state.position, lambda here=state: here)  # type: ignore[misc]
    except (Diverged, Collapsed) as error:
        way_on = job.boundary.disown(collapsed=isinstance(error, Collapsed))
        raise type(error)(f"{error}; {way_on}") from None
    return state


def extract(job: TrainingJob, state: CycleState) -> CycleState:
    """Features of the training cases under the present weights; cases found damaged are set aside."""
    started = time.perf_counter()
    done = 0 if state.features is None else len(state.features.case_id_N)

    def meet(volumes: int, so_far: Callable[[], FeatureTable]) -> None:
        nonlocal done
        done += volumes
        job.progress.advance(volumes)
        at = replace(state.position, step=done)
        job.boundary.look_at(so_far)
        job.boundary.cross(at, lambda: _within_extraction(state, so_far(), time.perf_counter() - started))

    found = extract_training_features(job, state, meet)
    seconds = state.spent("extract", time.perf_counter() - started)
    stall_s = state.extract_stall_s + found.stall_s
    return state.then(Phase.CLUSTER, features=found.table, seconds=seconds, extract_stall_s=stall_s)


def cluster(job: TrainingJob, state: CycleState) -> CycleState:
    """Scale, PCA, k-means: the pseudo-labels; after the last epoch the closing clustering."""
    assert state.features is not None  # noqa: S101
    started = time.perf_counter()
    job.progress.phase(state.position, 0)
    previous = state.clustered.assignment if state.clustered else None
    clustered = cluster_cases(state.features, previous, state.position.epoch, job)
    job.boundary.vouch(state.position.epoch)
    seconds = state.spent("cluster", time.perf_counter() - started)
    closing = state.position.epoch >= job.config.training.epochs
    return state.then(Phase.DONE if closing else Phase.RESET, clustered=clustered, previous=previous, seconds=seconds)


def reset_head(job: TrainingJob, state: CycleState) -> CycleState:
    """A new random head, the same on all ranks."""
    started = time.perf_counter()
    job.engine.reset_head(torch.Generator().manual_seed(job.seed("head", state.position.epoch)))
    return state.then(Phase.TRAIN, seconds=state.spent("reset", time.perf_counter() - started))


def train(job: TrainingJob, state: CycleState) -> CycleState:
    """Network and head together on the pseudo-labels."""
    trained, result = train_epoch(job, state)
    job.on_epoch(result)
    return trained.next_epoch(Phase.EXTRACT)


def extract_training_features(
    job: TrainingJob, state: CycleState, on_volumes: Callable[[int, Callable[[], FeatureTable]], None]
) -> Extraction:
    """Features of the training cases under the present weights; those found damaged are set aside.

    Raises:
        DataError: When too many cases are damaged.
    """
    settings, known = job.config, state.features
    case_ids = [case_id for case_id in job.case_id_N if case_id not in job.aside]
    job.progress.phase(state.position, len(case_ids), 0 if known is None else len(known.case_id_N))
    found = extract_readable(
        job.engine.network,
        job.cohort,
        case_ids,
        settings.data,
        job.context,
        last_relu=settings.training.last_relu,
        known=known,
        on_volumes=on_volumes,
    )
    job.aside.add(found.damaged, state.position.epoch, "extract")
    return found


def _within_extraction(state: CycleState, features: FeatureTable, seconds: float) -> CycleState:
    position = Position(state.position.epoch, Phase.EXTRACT, len(features.case_id_N))
    return replace(state, position=position, features=features, seconds=state.spent("extract", seconds))
