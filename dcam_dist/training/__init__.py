"""Training: the DeepCluster cycle of the paper, its baseline, and the supervised comparison."""

from dcam_dist.training.dry_run import DryRun, dry_run
from dcam_dist.training.extract import extract_features
from dcam_dist.training.train import TrainSummary, train

__all__ = ["DryRun", "TrainSummary", "dry_run", "extract_features", "train"]
