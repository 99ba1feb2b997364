"""What a new scan is to be put through: a run as it lies, or a bundle from anywhere."""

from pathlib import Path

from dcam_dist.inference.export import cohort_at_hand
from dcam_dist.runs import Bundle, bundle_of_run, read_bundle, restore_run
from dcam_dist.runs.run_config import CONFIG


def open_model(path: str | Path) -> Bundle:
    """Open a finished run or a bundle; either gives the same answers.

    Raises:
        UsageError: When it is neither, or a run that has not finished.
        DataError: When it is damaged.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    folder = Path(path)
    if not (folder / CONFIG).is_file():
        return read_bundle(folder)
    run = restore_run(folder)
    return bundle_of_run(run, cohort_at_hand(run))
