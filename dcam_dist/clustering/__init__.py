"""Scale → PCA → k-means on pooled features, behind one contract."""

from dcam_dist.clustering.backend import ClusterBackend, ClusterFit, choose_backend
from dcam_dist.clustering.model import ClusterModel

__all__ = ["ClusterBackend", "ClusterFit", "ClusterModel", "choose_backend"]
