"""The backend on one GPU: scaling in CuPy, PCA and k-means in cuML, on the memory of torch's tensors.

What is said of cuML's memory comes from the sources of cuML 26.10 and cuVS 26.8; it has not been measured on a GPU.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from dcam_dist.clustering.axes import Doubles, projection, spread
from dcam_dist.clustering.backend import ClusterFit, check_features, refuse_too_few
from dcam_dist.clustering.cuml_check import Libraries, in_one_line, new_kmeans, new_pca
from dcam_dist.clustering.model import ClusterModel, Floats
from dcam_dist.clustering.ranks import ALONE, Ranks
from dcam_dist.clustering.repair import Sizes, repair_empty_clusters
from dcam_dist.clustering.rows import ArrayRows, Rows, as_array, rows_of_a_chunk
from dcam_dist.clustering.share import fit_on_first
from dcam_dist.clustering.torch_backend import TorchBackend
from dcam_dist.clustering.torch_lloyd import inertia_and_sizes, lloyd
from dcam_dist.clustering.torch_points import TensorRows, project
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import EnvironmentFault

KMEANS_ROW_BYTES = 48
"""What cuML's k-means keeps of a row beside the point: label, nearest centroid, distance, norm, weight, draws."""
WORKSPACE_BYTES = 2**29
"""Whatever the rows: batches of distances, workspaces of the CUDA libraries, blocks of the last passes."""
SHARE = 0.9
"""Of the free memory, which may be taken."""

log = logging.getLogger(__name__)


class CumlBackend:
    """Implements ``ClusterBackend`` with cuML on rank 0's GPU, or with torch on all ranks where that cannot be.

    Rank 0 clusters the rows of all ranks, which must fit into every rank's memory while they are gathered, and into
    its GPU's. Where the estimate says that they do not, torch clusters, which needs neither; a line in the log says so.

    cuML adds up in float32 in no fixed order, so the same seed may give centroids that differ in their last digits
    (cuml #5731). One update more, in float64, makes them the same again, unless a point has changed sides.

    Attributes:
        device: ``cuda:N``, this rank's.
        libraries: None where they cannot be used; rank 0's decide.
    """

    name = "cuml"

    def __init__(self, device: str, libraries: Libraries | None) -> None:
        self.device = device
        self.libraries = libraries

    def fit(self, rows: Rows, settings: ClusteringConfig, seed: int, ranks: Ranks = ALONE) -> ClusterFit:
        """See ``ClusterBackend.fit``.

        Raises:
            EnvironmentFault: On rank 0, when cuML fails.
        """
        count = int(ranks.all_rows(np.array([[rows.shape[0]]], dtype=np.int64)).sum())
        refuse_too_few(count, settings)
        usable = ranks.rank == 0 and self._usable((count, rows.shape[1]), settings)
        if not ranks.first(np.array([usable], dtype=np.int64))[0]:
            return TorchBackend(self.device).fit(rows, settings, seed, ranks)
        features_NC = ranks.all_rows(as_array(rows))
        check_features(features_NC, settings)
        libraries = cast(Libraries, self.libraries)  # rank 0, which alone fits, has them
        fit = partial(self._fit, libraries, features_NC, settings, seed)
        return fit_on_first(self.name, fit, features_NC.shape, settings, ranks)

    def _usable(self, shape: tuple[int, int], settings: ClusteringConfig) -> bool:
        if self.libraries is None:
            return False
        need, free = peak_bytes(shape, settings), self.libraries.free_bytes(self.device)
        if need > SHARE * free:
            log.warning(
                "torch clusters: cuML would need about %.2f GB on %s for %d rows of %d channels, "
                "more than %.0f %% of the %.2f GB that are free",
                need / 1e9,
                self.device,
                *shape,
                100 * SHARE,
                free / 1e9,
            )
        return need <= SHARE * free

    def _fit(self, libraries: Libraries, features_NC: Floats, settings: ClusteringConfig, seed: int) -> ClusterFit:
        with libraries.on_device(self.device), _failing_in_one_line(libraries):
            column_CN = _columns(features_NC, self.device)
            model = _scaled_axes(column_CN, libraries, settings)
            points_NP = _points(column_CN, model)
            del column_CN
            torch.cuda.empty_cache()  # what torch keeps at hand, cuML cannot have
            kmeans = new_kmeans(libraries, settings, seed).fit(libraries.array_of(points_NP))
            return self._settled(TensorRows(points_NP), _on_host(kmeans.cluster_centers_), model)

    def _settled(self, points: TensorRows, centroid_KP: Doubles, model: ClusterModel) -> ClusterFit:
        """Centroids that are the float64 means of their points, none of them empty, and their inertia."""

        def sizes_of(centroid_KP: Floats) -> Sizes:
            size_K: Sizes = inertia_and_sizes(points, centroid_KP[None], ALONE, self.device)[1][0]
            return size_K

        means_KP = lloyd(points, centroid_KP[None].astype(np.float32), 1, ALONE, self.device)[0]
        centroids, size_K, repaired = repair_empty_clusters(means_KP, sizes_of)
        inertia = float(inertia_and_sizes(points, centroids[None], ALONE, self.device)[0][0])
        return ClusterFit(replace(model, centroid_KP=centroids), size_K, inertia, repaired, self.name)


def peak_bytes(shape: tuple[int, int], settings: ClusteringConfig) -> int:
    """The most memory of the GPU that a fit takes.

    First the features, scaled in place, beside the points made of them; then the points beside what k-means keeps.

    Args:
        shape: Rows, of all ranks, and channels.
        settings: Of the clustering; a share of the variance may need all axes.
    """
    rows, channels = shape
    axes = min(settings.pca_components, channels) if isinstance(settings.pca_components, int) else channels
    return rows * max(4 * (channels + axes), 4 * axes + KMEANS_ROW_BYTES) + WORKSPACE_BYTES


@contextmanager
def _failing_in_one_line(libraries: Libraries) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # RAPIDS raises what it likes, also where memory is short
        raise EnvironmentFault(
            f"clustering with {libraries.VERSIONS} failed: {in_one_line(error)}; set clustering.backend=torch"
        ) from error


def _columns(features_NC: Floats, device: str) -> Tensor:
    """The features on the device, one channel after the other: so cuML's PCA takes them without a copy."""
    column_CN = torch.empty(features_NC.shape[::-1], dtype=torch.float32, device=device)
    start = 0
    for chunk in ArrayRows(features_NC).chunks():
        column_CN[:, start : start + len(chunk)] = torch.from_numpy(chunk).to(device).T
        start += len(chunk)
    return column_CN


def _scaled_axes(column_CN: Tensor, libraries: Libraries, settings: ClusteringConfig) -> ClusterModel:
    """Scale the features where they are, and find their principal axes; a model without centroids yet."""
    features_NC = libraries.array_of(column_CN.T)
    mean_C, variance_C = (getattr(features_NC, of)(axis=0, dtype="float64") for of in ("mean", "var"))
    scale_C = spread(column_CN.shape[1], _on_host(mean_C), _on_host(variance_C))
    features_NC -= mean_C.astype("float32")
    features_NC /= libraries.array_of(torch.from_numpy(scale_C).to(column_CN))
    components_PC, variance_P = _axes(features_NC, libraries)
    return projection(_on_host(mean_C), scale_C, components_PC, variance_P, settings)


def _axes(scaled_NC: Any, libraries: Libraries) -> tuple[Doubles, Doubles]:
    """All principal axes and the variance along each."""
    if scaled_NC.shape[1] == 1:  # cuML's PCA asks for two channels
        return np.ones((1, 1)), np.array([float(scaled_NC.var(ddof=1, dtype="float64"))])
    pca = new_pca(libraries, min(scaled_NC.shape)).fit(scaled_NC)
    return _on_host(pca.components_), np.clip(_on_host(pca.explained_variance_), 0, None)


def _points(scaled_CN: Tensor, model: ClusterModel) -> Tensor:
    """Scaled features as points, (N, P), a few rows at a time."""
    rotation = replace(model, mean_C=np.zeros_like(model.mean_C), scale_C=np.ones_like(model.scale_C))
    points_NP = scaled_CN.new_empty(scaled_CN.shape[1], len(model.components_PC))
    step = rows_of_a_chunk(len(scaled_CN))
    for start in range(0, len(points_NP), step):
        points_NP[start : start + step] = project(scaled_CN[:, start : start + step].T, rotation)
    return points_NP


def _on_host(array: Any) -> Doubles:
    doubles: Doubles = from_dlpack(array).double().cpu().numpy()
    return doubles
