"""A run's directory: resolved configuration, checkpoints, metrics."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcam_dist.runs.artefact import artefact_of_run, read_artefact, write_artefact
    from dcam_dist.runs.artefact_files import ClusterArtefact
    from dcam_dist.runs.bundle import bundle_of_run, read_bundle, write_bundle
    from dcam_dist.runs.bundle_files import Bundle, model_sha256
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
    from dcam_dist.runs.trained_model import TrainedModel

__all__ = [
    "BestWeights",
    "Bundle",
    "Checkpoint",
    "ClusterArtefact",
    "EpochInHand",
    "MetricsLog",
    "RestoredRun",
    "SetAsideCase",
    "TrainedModel",
    "artefact_of_run",
    "bundle_of_run",
    "check_training_cases",
    "fingerprint",
    "first_start",
    "go_back",
    "latest_checkpoint",
    "model_sha256",
    "open_cohort_of",
    "open_metrics",
    "open_new_scans",
    "open_run_directory",
    "rank_log",
    "read_artefact",
    "read_bundle",
    "read_checkpoint",
    "read_feature_file",
    "read_features",
    "read_run_config",
    "read_set_aside",
    "restore_run",
    "run_lock",
    "write_artefact",
    "write_bundle",
    "write_checkpoint",
    "write_features",
    "write_set_aside",
]

_HOMES = {
    "artefact": ("artefact_of_run", "read_artefact", "write_artefact"),
    "artefact_files": ("ClusterArtefact",),
    "bundle": ("bundle_of_run", "read_bundle", "write_bundle"),
    "bundle_files": ("Bundle", "model_sha256"),
    "checkpoint": ("BestWeights", "Checkpoint", "EpochInHand"),
    "checkpoint_files": ("fingerprint",),
    "checkpoints": ("go_back", "latest_checkpoint", "read_checkpoint", "write_checkpoint"),
    "directory": ("first_start", "open_run_directory"),
    "feature_files": ("read_feature_file", "read_features", "write_features"),
    "lock": ("run_lock",),
    "metrics_log": ("MetricsLog", "open_metrics"),
    "rank_logs": ("rank_log",),
    "restore": ("RestoredRun", "check_training_cases", "open_cohort_of", "open_new_scans", "restore_run"),
    "run_config": ("read_run_config",),
    "set_aside": ("SetAsideCase", "read_set_aside", "write_set_aside"),
    "trained_model": ("TrainedModel",),
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load a part on its first use: most take torch, and whoever asks how a run stands needs none."""
        for module, names in _HOMES.items():
            if name in names:
                return getattr(import_module(f"dcam_dist.runs.{module}"), name)
        raise AttributeError(f"module 'dcam_dist.runs' has no attribute {name!r}")
