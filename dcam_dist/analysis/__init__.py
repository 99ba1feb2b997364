"""Analysis of features outside a training: write them, cluster them, assign new scans to saved clusters."""

from dcam_dist.analysis.features import run_features

__all__ = ["run_features"]
