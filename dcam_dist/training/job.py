"""What a training needs, put together once and then only read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering import ClusterBackend, choose_backend
from dcam_dist.cohort import Cohort, open_cohort
from dcam_dist.config import Config, dump_config
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import Engine, ProcessContext, build_engine
from dcam_dist.errors import UsageError
from dcam_dist.models import build_network
from dcam_dist.training.boundary import Boundary
from dcam_dist.training.class_weights import class_weights
from dcam_dist.training.fit import check_fit
from dcam_dist.training.progress import NO_PROGRESS, Progress
from dcam_dist.training.set_aside import SetAside
from dcam_dist.training.state import EpochResult
from dcam_dist.training.together import same_on_all_ranks, together
from dcam_dist.training.validation_split import validation_rows
from dcam_dist.types import UNASSIGNED, CaseRecord


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """A bag: configuration, data, engine and the process's place among its peers.

    Attributes:
        case_id_N: The training cases in the cohort's stable order.
        grade_N: Their labels, ``UNASSIGNED`` where there is none. Clustering never sees them; metrics do.
        aside: The training cases that turned out damaged.
        validation_N: Which training cases are kept out of supervised training, (N,).
        class_weight_K: Weight of each grade in the supervised loss; ``None``: all the same.
        boundary: Where the ranks meet between two pieces of work.
        progress: Who follows the run on this rank.
        on_epoch: Called on every rank after each epoch's training, before its checkpoint.
    """

    config: Config
    cohort: Cohort
    case_id_N: tuple[str, ...]
    grade_N: NDArray[np.int64]
    engine: Engine
    backend: ClusterBackend
    context: ProcessContext
    aside: SetAside
    validation_N: NDArray[np.bool_]
    class_weight_K: NDArray[np.float32] | None
    boundary: Boundary
    progress: Progress = NO_PROGRESS
    on_epoch: Callable[[EpochResult], None] = lambda _: None

    def seed(self, purpose: str, epoch: int) -> int:
        """A 32-bit seed for one purpose in one epoch; the same on every rank and after every resume."""
        return derived_seed(self.config.seed, purpose, epoch)


def prepare_job(config: Config, context: ProcessContext) -> TrainingJob:
    """Open the cohort, check that it can be trained on, build network and engine. It neither saves nor leaves yet.

    Raises:
        UsageError: No cohort, another grid than configured, patches larger than it, fewer cases in a batch than ranks.
        DataError: Too few cases for the clusters, or no labels for a supervised run; the ranks read different cases.
        FailedElsewhere: When another rank cannot read the cohort.
    """
    cohort, cases, grade_N = together(partial(_opened, config, context), context)
    case_id_N = tuple(case.case_id for case in cases)
    validation_N, class_weight_K = _supervision(config, cases, grade_N)
    same_on_all_ranks(
        [dump_config(config), list(case_id_N), grade_N.tolist(), validation_N.tolist()],
        "configurations or training cases; all nodes must see the same cohort, with the same versions",
        context,
    )
    return TrainingJob(
        config=config,
        cohort=cohort,
        case_id_N=case_id_N,
        grade_N=grade_N,
        engine=build_engine(build_network(config), config.training, config.network, context),
        backend=choose_backend(config.clustering, len(case_id_N), context.device),
        context=context,
        aside=SetAside(config, case_id_N, context),
        validation_N=validation_N,
        class_weight_K=class_weight_K,
        boundary=Boundary(context),
    )


def _opened(config: Config, context: ProcessContext) -> tuple[Cohort, Sequence[CaseRecord], NDArray[np.int64]]:
    if config.data.cohort is None:
        raise UsageError("data.cohort: not set; say where the cohort is with data.cohort=COHORT.zarr")
    cohort = open_cohort(config.data.cohort)
    cases = cohort.split("train")
    grade_N = np.array([case.label for case in cases], dtype=np.int64)
    check_fit(config, cohort, grade_N, context)
    return cohort, cases, grade_N


def _supervision(
    config: Config, cases: Sequence[CaseRecord], grade_N: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float32] | None]:
    settings = config.supervised
    if config.method != "supervised":
        return np.zeros(len(cases), dtype=np.bool_), None
    patient_N = [case.patient_key for case in cases]
    seed = derived_seed(config.seed, "validation", 0)
    validation_N = validation_rows(patient_N, grade_N, fraction=settings.validation_fraction, seed=seed)
    trained_N = np.where(validation_N, UNASSIGNED, grade_N)
    return validation_N, class_weights(trained_N, config.classes, settings.class_weights)
