"""Whether configuration, cohort and processes fit together, before anything is built."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import Cohort
from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext
from dcam_dist.errors import DataError, UsageError


def check_fit(config: Config, cohort: Cohort, grade_N: NDArray[np.int64], context: ProcessContext) -> None:
    """Refuse what cannot be trained.

    Raises:
        UsageError: Another grid than configured, patches larger than it, fewer cases in a part of a batch than ranks.
        DataError: Too few cases for the clusters, or no labels for a supervised run.
    """
    _check_grid(config, cohort)
    _check_batch(config, context)
    _check_cases(config, cohort, grade_N)


def _check_grid(config: Config, cohort: Cohort) -> None:
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


def _check_batch(config: Config, context: ProcessContext) -> None:
    settings = config.training
    if settings.batch_size // settings.accumulation >= context.world_size:
        return
    part = f" / training.accumulation={settings.accumulation}" if settings.accumulation > 1 else ""
    raise UsageError(
        f"training.batch_size={settings.batch_size}{part} is less than the {context.world_size} ranks; "
        f"every rank needs a case in every {'part of a ' if part else ''}batch"
    )


def _check_cases(config: Config, cohort: Cohort, grade_N: NDArray[np.int64]) -> None:
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
