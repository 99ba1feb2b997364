"""What a trained run does to a scan, and nothing of how it was trained: the noun that runs and bundles share."""

from dataclasses import dataclass

from dcam_dist.clustering import ClusterModel
from dcam_dist.config import Config
from dcam_dist.models import ClusterNetwork


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with the clusters that were found with it.

    Attributes:
        config: Decides the grid, the HU window, the network, and what its classes are called.
        network: In evaluation mode.
        clustering: ``None`` for supervised runs.
    """

    config: Config
    network: ClusterNetwork
    clustering: ClusterModel | None
