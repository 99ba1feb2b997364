"""``features``: rows of a cohort's cases under a finished run, lung-pooled features or shares of texture patterns."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dcam_dist.analysis.pattern_features import pattern_shares
from dcam_dist.cohort import Cohort
from dcam_dist.cohort.manifest import read_seal
from dcam_dist.config.schema import TrainingConfig
from dcam_dist.distributed import ProcessContext, open_processes
from dcam_dist.errors import DcamError, UsageError
from dcam_dist.runs import (
    RestoredRun,
    open_cohort_of,
    open_new_scans,
    read_run_config,
    restore_run,
    write_features,
)
from dcam_dist.runs.artefact import source_of_run
from dcam_dist.runs.artefact_files import LUNG_ROWS
from dcam_dist.runs.feature_files import check_suffix
from dcam_dist.runs.provenance import versions
from dcam_dist.training import extract_features
from dcam_dist.training.together import on_main, together
from dcam_dist.types import FeatureTable, Split


@dataclass(frozen=True, eq=False)
class FeatureSummary:
    """What was written.

    Attributes:
        table: The features.
        is_main: Whether this is rank 0.
    """

    table: FeatureTable
    is_main: bool


def run_features(run: str | Path, *, cohort: str | Path | None = None, split: Split | None = None) -> FeatureTable:
    """Features of the cases that a run's clusters are made of, as its clustering sees them.

    Alone or on every rank of a launcher, which all call together; each then has the whole table.

    Args:
        run: A finished run.
        cohort: Where its cohort is now, when it has moved.
        split: Of this split alone; ``None``: of all cases.

    Raises:
        UsageError: No finished run or not its cohort.
        DataError: A checkpoint or a stored volume is damaged.
    """
    with open_processes(_timeout_s(run)) as context:
        restored, opened = together(partial(open_run, run, cohort), context)
        return features_in(restored, opened, context, split)


def write_run_features(
    run: str | Path,
    out: Path,
    *,
    cohort: str | Path | None = None,
    new_scans: str | Path | None = None,
    patterns: Path | None = None,
    split: Split | None = None,
) -> FeatureSummary:
    """As ``run_features``, and write them to a file, ``.safetensors``, ``.npz`` or ``.csv``.

    Args:
        run: A finished run.
        out: The file.
        cohort: Where the run's cohort is now, when it has moved.
        new_scans: A cohort of other scans on the run's grid, in the place of the run's own.
        patterns: A folder that ``cluster --features voxel`` made of this run: rows are then the shares of its patterns.
        split: Of this split alone; ``None``: of all cases.

    Raises:
        UsageError: As ``run_features``, a file of another suffix, two cohorts, one on another grid, or no patterns of
            the run.
        DataError: As ``run_features``.
        EnvironmentFault: When the file cannot be written.
    """
    check_suffix(out)
    if cohort is not None and new_scans is not None:
        raise UsageError("--cohort and --new-scans: give one, the run's cohort at its new place or another one")
    with open_processes(_timeout_s(run)) as context:
        restored, opened = together(partial(open_run, run, cohort, new_scans), context)
        about: dict[str, object] = {**origin(restored, opened), "split": split or "all", "versions": versions()}
        if patterns is None:
            table = features_in(restored, opened, context, split)
            about |= {"rows": LUNG_ROWS, "last_relu": restored.config.training.last_relu}
        else:
            table, of_patterns = pattern_shares(restored, opened, patterns, context, split)
            about |= of_patterns
        on_main(partial(write_features, out, table, about), context)
        return FeatureSummary(table, context.is_main)


def open_run(
    run: str | Path, cohort: str | Path | None = None, new_scans: str | Path | None = None
) -> tuple[RestoredRun, Cohort]:
    """A finished run and its cohort, or another one.

    Raises:
        UsageError, DataError: As ``run_features``.
    """
    restored = restore_run(run)
    return restored, open_cohort_of(restored, cohort) if new_scans is None else open_new_scans(restored, new_scans)


def _timeout_s(run: str | Path) -> float:
    """The run's own; what is wrong with it is told once the ranks have met."""
    try:
        return read_run_config(run).training.timeout_s
    except DcamError:
        return TrainingConfig().timeout_s


def features_in(run: RestoredRun, cohort: Cohort, context: ProcessContext, split: Split | None = None) -> FeatureTable:
    """As ``run_features``, among processes that have met already."""
    cases = cohort.cases if split is None else cohort.split(split)
    return extract_features(
        run.network.to(context.device),
        cohort,
        [case.case_id for case in cases],
        run.config.data,
        context,
        last_relu=run.config.training.last_relu,
    )


def origin(run: RestoredRun, cohort: Cohort) -> dict[str, str]:
    """What names a run and its cohort without saying where they are.

    Raises:
        DataError: When the cohort has no seal.
    """
    return {**source_of_run(run), "cohort_seal": read_seal(cohort.path)}
