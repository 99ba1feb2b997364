"""Analysis of features outside a training: write them, cluster them, assign new scans to saved clusters."""

from dcam_dist.analysis.features import run_features
from dcam_dist.analysis.patterns import PatternSummary, cluster_voxels

__all__ = ["PatternSummary", "cluster_voxels", "run_features"]
