"""A run's directory: resolved configuration, checkpoints, metrics."""

from dcam_dist.runs.checkpoint import Checkpoint, latest_checkpoint, read_checkpoint, write_checkpoint
from dcam_dist.runs.directory import open_run_directory, read_run_config
from dcam_dist.runs.metrics_log import MetricsLog
from dcam_dist.runs.restore import RestoredRun, check_training_cases, open_cohort_of, restore_run
from dcam_dist.runs.set_aside import SetAsideCase, read_set_aside, write_set_aside

__all__ = [
    "Checkpoint",
    "MetricsLog",
    "RestoredRun",
    "SetAsideCase",
    "check_training_cases",
    "latest_checkpoint",
    "open_cohort_of",
    "open_run_directory",
    "read_checkpoint",
    "read_run_config",
    "read_set_aside",
    "restore_run",
    "write_checkpoint",
    "write_set_aside",
]
