"""What a training needs, put together once and then only read."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering import ClusterBackend, choose_backend
from dcam_dist.cohort import Cohort, open_cohort
from dcam_dist.config import Config
from dcam_dist.distributed import DdpEngine, Engine, ProcessContext
from dcam_dist.errors import DataError, UsageError
from dcam_dist.models import build_network
from dcam_dist.training.set_aside import SetAside


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """A bag: configuration, data, engine and the process's place among its peers.

    Attributes:
        case_id_N: The training cases in the cohort's stable order.
        grade_N: Their labels, ``UNASSIGNED`` where there is none. Clustering never sees them; metrics do.
        aside: The training cases that turned out damaged.
    """

    config: Config
    cohort: Cohort
    case_id_N: tuple[str, ...]
    grade_N: NDArray[np.int64]
    engine: Engine
    backend: ClusterBackend
    context: ProcessContext
    aside: SetAside

    def seed(self, purpose: str, epoch: int) -> int:
        """A 32-bit seed for one purpose in one epoch; the same on every rank and after every resume."""
        return derived_seed(self.config.seed, purpose, epoch)


def derived_seed(seed: int, purpose: str, epoch: int) -> int:
    """A 32-bit seed that differs for every (seed, purpose, epoch)."""
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), epoch]).generate_state(1)
    return int(words[0])


def prepare_job(config: Config, context: ProcessContext) -> TrainingJob:
    """Open the cohort, check that it can be trained on, build network and engine.

    Raises:
        UsageError: No cohort, another grid than configured, patches larger than it, fewer cases in a batch than ranks.
        DataError: Too few cases for the clusters, or no labels for a supervised run.
    """
    if config.data.cohort is None:
        raise UsageError("data.cohort: not set; say where the cohort is with data.cohort=COHORT.zarr")
    cohort = open_cohort(config.data.cohort)
    cases = cohort.split("train")
    case_id_N = tuple(case.case_id for case in cases)
    grade_N = np.array([case.label for case in cases], dtype=np.int64)
    _check(config, cohort, grade_N, context)
    engine = DdpEngine(build_network(config), config.training, context)
    backend = choose_backend(config.clustering)
    aside = SetAside(config, case_id_N, context)
    return TrainingJob(config, cohort, case_id_N, grade_N, engine, backend, context, aside)


def _check(config: Config, cohort: Cohort, grade_N: NDArray[np.int64], context: ProcessContext) -> None:
    if cohort.description.grid != config.grid:
        raise UsageError(
            f"{cohort.path}: its grid is {list(cohort.description.grid.shape)} ({cohort.description.grid.fit}), the "
            f"configuration's {list(config.grid.shape)} ({config.grid.fit}); use the configuration it was ingested with"
        )
    patch = config.data.patch
    if patch is not None and any(size > limit for size, limit in zip(patch, config.grid.shape, strict=True)):
        raise UsageError(
            f"data.patch={list(patch)} does not fit the grid {list(config.grid.shape)}; choose a smaller one, or "
            "data.patch=null for whole volumes"
        )
    if config.training.batch_size < context.world_size:
        raise UsageError(
            f"training.batch_size={config.training.batch_size} is less than the {context.world_size} ranks; "
            "every rank needs a case in every batch"
        )
    if config.method == "supervised":
        if cohort.description.label_names != config.labels.names:
            raise UsageError(
                f"{cohort.path}: its label set differs from labels.names; ingest and train with one config"
            )
        if not (grade_N >= 0).any():
            raise DataError(f"{cohort.path}: no training case has a label; supervised training needs them")
    elif len(grade_N) < config.clustering.clusters:
        raise DataError(
            f"{cohort.path}: {len(grade_N)} training cases cannot form clustering.clusters="
            f"{config.clustering.clusters}; lower it or add cases"
        )
