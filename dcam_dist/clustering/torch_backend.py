"""The distributed backend: every rank clusters its own rows, and sums are all that the ranks exchange.

Deterministic, on the CPU and on CUDA. Memory beyond the rows does not grow with them: see ``PEAK_CHUNKS``.
"""

from dataclasses import replace

import numpy as np

from dcam_dist.clustering.backend import ClusterFit
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.ranks import ALONE, Ranks
from dcam_dist.clustering.repair import Sizes, repair_empty_clusters
from dcam_dist.clustering.rows import Rows
from dcam_dist.clustering.torch_lloyd import inertia_and_sizes, lloyd
from dcam_dist.clustering.torch_moments import moments_of, principal_axes
from dcam_dist.clustering.torch_points import projected
from dcam_dist.clustering.torch_seeding import seed_centroids
from dcam_dist.config.schema import ClusteringConfig

PEAK_CHUNKS = 6
"""The most memory that ``fit`` takes beyond the rows, in chunks (``rows.CHUNK_BYTES``), whatever their number."""

AS_GOOD = 1e-6
"""Restarts whose inertia is so near the least have found the same clusters, in another order: the first is taken, so
that rounding does not choose among them."""


class TorchBackend:
    """Implements ``ClusterBackend`` in torch.

    Attributes:
        device: Where each rank works on its rows.
    """

    name = "torch"

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def fit(self, rows: Rows, settings: ClusteringConfig, seed: int, ranks: Ranks = ALONE) -> ClusterFit:
        """See ``ClusterBackend.fit``."""
        model = principal_axes(moments_of(rows, settings, ranks, self.device), settings, ranks)
        with projected(rows, model, self.device) as points:
            start_RKP = seed_centroids(
                points,
                settings.clusters,
                settings.restarts,
                seed,
                ranks,
                self.device,
                random=settings.init == "random",
            )
            centroid_RKP = lloyd(points, start_RKP, settings.iterations, ranks, self.device)
            inertia_R, _ = inertia_and_sizes(points, centroid_RKP, ranks, self.device)

            def sizes_of(centroid_KP: Floats) -> Sizes:
                size_K: Sizes = inertia_and_sizes(points, centroid_KP[None], ranks, self.device)[1][0]
                return size_K

            best = centroid_RKP[np.flatnonzero(inertia_R <= inertia_R.min() * (1 + AS_GOOD))[0]]
            centroids, size_K, repaired = repair_empty_clusters(best, sizes_of)
            inertia = float(inertia_and_sizes(points, centroids[None], ranks, self.device)[0][0])
        return ClusterFit(replace(model, centroid_KP=centroids), size_K, inertia, repaired, self.name)
