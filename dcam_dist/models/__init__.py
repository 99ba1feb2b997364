"""The networks: the proposed 3D U-Net, the baseline encoder, the head, and their normalization."""

from dcam_dist.models.build import build_network, parameter_counts
from dcam_dist.models.network import ClusterNetwork, count_parameters
from dcam_dist.models.pooling import pool_over_lungs
from dcam_dist.models.precision import PrecisionChoice, choose_precision

__all__ = [
    "ClusterNetwork",
    "PrecisionChoice",
    "build_network",
    "choose_precision",
    "count_parameters",
    "parameter_counts",
    "pool_over_lungs",
]
