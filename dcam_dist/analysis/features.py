"""``features``: the lung-pooled features of a cohort's cases under a finished run's network."""

from pathlib import Path

from dcam_dist.cohort import Cohort
from dcam_dist.distributed import ProcessContext, open_processes
from dcam_dist.runs import RestoredRun, open_cohort_of, restore_run
from dcam_dist.training import extract_features
from dcam_dist.types import FeatureTable, Split


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
    restored = restore_run(run)
    opened = open_cohort_of(restored, cohort)
    with open_processes() as context:
        return features_in(restored, opened, context, split)


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
