"""The reference backend: scikit-learn on the CPU."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from dcam_dist.clustering.backend import ClusterFit, check_features
from dcam_dist.clustering.model import ClusterModel, Floats
from dcam_dist.clustering.repair import repair_empty_clusters
from dcam_dist.config.schema import ClusteringConfig


class SklearnBackend:
    """Implements ``ClusterBackend`` with ``StandardScaler``, ``PCA`` (full SVD) and ``KMeans`` (Lloyd)."""

    name = "sklearn"

    def fit(self, features_NC: Floats, settings: ClusteringConfig, seed: int) -> ClusterFit:
        """See ``ClusterBackend.fit``."""
        check_features(features_NC, settings)
        model = _fit_projection(features_NC, settings)
        points_NP = model.project(features_NC)
        kmeans = KMeans(
            settings.clusters,
            n_init=settings.restarts,
            max_iter=settings.iterations,
            random_state=seed,
            algorithm="lloyd",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters: repaired below
            kmeans.fit(points_NP)
        centroids, label_N, repaired = repair_empty_clusters(points_NP, kmeans.cluster_centers_.astype(np.float32))
        inertia = float(np.square(points_NP - centroids[label_N], dtype=np.float64).sum())
        return ClusterFit(replace(model, centroid_KP=centroids), label_N, points_NP, inertia, repaired)


def _fit_projection(features_NC: Floats, settings: ClusteringConfig) -> ClusterModel:
    scaler = StandardScaler().fit(features_NC.astype(np.float64))
    components = min(settings.pca_components, *features_NC.shape)
    with np.errstate(invalid="ignore"):  # collapsed features: scikit-learn's unused variance ratio is 0/0
        pca = PCA(components, svd_solver="full").fit(scaler.transform(features_NC.astype(np.float64)))
    largest = np.abs(pca.components_).argmax(axis=1)
    sign_P = np.where(pca.components_[np.arange(components), largest] < 0, -1.0, 1.0)
    return ClusterModel(
        mean_C=scaler.mean_.astype(np.float32),
        scale_C=scaler.scale_.astype(np.float32),
        components_PC=(pca.components_ * sign_P[:, None]).astype(np.float32),
        variance_P=pca.explained_variance_.astype(np.float32),
        centroid_KP=np.zeros((settings.clusters, components), dtype=np.float32),
        whiten=settings.whiten,
        l2_normalize=settings.l2_normalize,
    )
