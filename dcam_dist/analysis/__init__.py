"""Analysis of features outside a training: write them, cluster them, assign new scans to saved clusters."""

from dcam_dist.analysis.assign import AssignSummary, assign, assign_rows
from dcam_dist.analysis.cluster import ClusterSummary, cluster, cluster_config
from dcam_dist.analysis.features import FeatureSummary, run_features, write_run_features
from dcam_dist.analysis.k_choice import choices, verdict
from dcam_dist.analysis.k_figures import Effort, KFigures, KSelection
from dcam_dist.analysis.k_files import console_table, write_selection
from dcam_dist.analysis.patterns import PatternSummary, cluster_voxels
from dcam_dist.analysis.select_k import figures_over_k, select_k

__all__ = [
    "AssignSummary",
    "ClusterSummary",
    "Effort",
    "FeatureSummary",
    "KFigures",
    "KSelection",
    "PatternSummary",
    "assign",
    "assign_rows",
    "choices",
    "cluster",
    "cluster_config",
    "cluster_voxels",
    "console_table",
    "figures_over_k",
    "run_features",
    "select_k",
    "verdict",
    "write_run_features",
    "write_selection",
]
