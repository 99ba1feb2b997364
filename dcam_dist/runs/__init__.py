"""A run's directory: resolved configuration, checkpoints, metrics."""

from dcam_dist.runs.artefact import artefact_of_run, read_artefact, write_artefact
from dcam_dist.runs.artefact_files import ClusterArtefact
from dcam_dist.runs.checkpoint import BestWeights, Checkpoint, EpochInHand
from dcam_dist.runs.checkpoint_files import fingerprint
from dcam_dist.runs.checkpoints import go_back, latest_checkpoint, read_checkpoint, write_checkpoint
from dcam_dist.runs.directory import first_start, open_run_directory
from dcam_dist.runs.feature_files import read_feature_file, read_features, write_features
from dcam_dist.runs.lock import run_lock
from dcam_dist.runs.metrics_log import MetricsLog, open_metrics
from dcam_dist.runs.rank_logs import rank_log
from dcam_dist.runs.restore import RestoredRun, check_training_cases, open_cohort_of, open_new_scans, restore_run
from dcam_dist.runs.run_config import read_run_config
from dcam_dist.runs.set_aside import SetAsideCase, read_set_aside, write_set_aside

__all__ = [
    "BestWeights",
    "Checkpoint",
    "ClusterArtefact",
    "EpochInHand",
    "MetricsLog",
    "RestoredRun",
    "SetAsideCase",
    "artefact_of_run",
    "check_training_cases",
    "fingerprint",
    "first_start",
    "go_back",
    "latest_checkpoint",
    "open_cohort_of",
    "open_metrics",
    "open_new_scans",
    "open_run_directory",
    "rank_log",
    "read_artefact",
    "read_checkpoint",
    "read_feature_file",
    "read_features",
    "read_run_config",
    "read_set_aside",
    "restore_run",
    "run_lock",
    "write_artefact",
    "write_checkpoint",
    "write_features",
    "write_set_aside",
]
