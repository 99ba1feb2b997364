"""The networks: the proposed 3D U-Net, the baseline encoder, the head, and their normalization."""

from dcam_dist.models.build import build_network, parameter_counts
from dcam_dist.models.network import ClusterNetwork, count_parameters, pool_over_lungs

__all__ = ["ClusterNetwork", "build_network", "count_parameters", "parameter_counts", "pool_over_lungs"]
