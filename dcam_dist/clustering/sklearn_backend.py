"""The reference backend: scikit-learn on the CPU."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from dcam_dist.clustering.axes import projection
from dcam_dist.clustering.backend import ClusterFit, check_features
from dcam_dist.clustering.model import ClusterModel, Floats, nearest, sum_of_squares
from dcam_dist.clustering.ranks import ALONE, Ranks
from dcam_dist.clustering.repair import repair_empty_clusters
from dcam_dist.clustering.rows import Rows, as_array
from dcam_dist.clustering.share import fit_on_first
from dcam_dist.config.schema import ClusteringConfig


class SklearnBackend:
    """Implements ``ClusterBackend`` with ``StandardScaler``, ``PCA`` (full SVD) and ``KMeans`` (Lloyd).

    Rank 0 clusters the rows of all ranks, which must fit into its memory.
    """

    name = "sklearn"

    def fit(self, rows: Rows, settings: ClusteringConfig, seed: int, ranks: Ranks = ALONE) -> ClusterFit:
        """See ``ClusterBackend.fit``."""
        features_NC = ranks.all_rows(as_array(rows))
        check_features(features_NC, settings)
        return fit_on_first(
            self.name, lambda: self._fit(features_NC, settings, seed), features_NC.shape, settings, ranks
        )

    def _fit(self, features_NC: Floats, settings: ClusteringConfig, seed: int) -> ClusterFit:
        model = _fit_projection(features_NC, settings)
        points_NP = model.project(features_NC)
        kmeans = KMeans(
            settings.clusters,
            init=settings.init,
            n_init=settings.restarts,
            max_iter=settings.iterations,
            random_state=seed,
            algorithm="lloyd",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters: repaired below
            kmeans.fit(points_NP.astype(np.float64))  # in float32 the sums, so the clusters, depend on the threads

        def sizes_of(centroid_KP: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
            return np.bincount(nearest(points_NP, centroid_KP), minlength=len(centroid_KP))

        centroids, size_K, repaired = repair_empty_clusters(kmeans.cluster_centers_.astype(np.float32), sizes_of)
        inertia = sum_of_squares(points_NP, centroids)
        return ClusterFit(replace(model, centroid_KP=centroids), size_K, inertia, repaired, self.name)


def _fit_projection(features_NC: Floats, settings: ClusteringConfig) -> ClusterModel:
    scaler = StandardScaler().fit(features_NC.astype(np.float64))
    with np.errstate(invalid="ignore"):  # collapsed features: scikit-learn's unused variance ratio is 0/0
        pca = PCA(svd_solver="full").fit(scaler.transform(features_NC.astype(np.float64)))
    return projection(scaler.mean_, scaler.scale_, pca.components_, pca.explained_variance_, settings)
