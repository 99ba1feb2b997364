"""Scale → PCA → k-means on rows of features, behind one contract with three backends."""

from dcam_dist.clustering.backend import ClusterBackend, ClusterFit
from dcam_dist.clustering.choose import choose_backend
from dcam_dist.clustering.model import ClusterModel
from dcam_dist.clustering.ranks import ALONE, Ranks
from dcam_dist.clustering.rows import ArrayRows, Rows

__all__ = [
    "ALONE",
    "ArrayRows",
    "ClusterBackend",
    "ClusterFit",
    "ClusterModel",
    "Ranks",
    "Rows",
    "choose_backend",
]
