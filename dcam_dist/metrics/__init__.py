"""Pure functions on arrays: agreement with labels, internal validity, resampling, id matching, densitometry."""

from dcam_dist.metrics.agreement import (
    adjusted_rand,
    clustering_accuracy,
    contingency,
    majority_share,
    match_clusters,
    normalized_mutual_information,
    weighted_kappa,
    within_one_grade,
)
from dcam_dist.metrics.densitometry import DENSITOMETRY_FIELDS, densitometry
from dcam_dist.metrics.epoch_matching import apply_permutation, match_to_previous
from dcam_dist.metrics.ids import apply_mapping
from dcam_dist.metrics.internal import calinski_harabasz, davies_bouldin, silhouette
from dcam_dist.metrics.resampling import NullSummary, PermutationNull, bootstrap_interval, permutation_null

__all__ = [
    "DENSITOMETRY_FIELDS",
    "NullSummary",
    "PermutationNull",
    "adjusted_rand",
    "apply_mapping",
    "apply_permutation",
    "bootstrap_interval",
    "calinski_harabasz",
    "clustering_accuracy",
    "contingency",
    "davies_bouldin",
    "densitometry",
    "majority_share",
    "match_clusters",
    "match_to_previous",
    "normalized_mutual_information",
    "permutation_null",
    "silhouette",
    "weighted_kappa",
    "within_one_grade",
]
