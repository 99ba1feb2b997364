"""How well the texture patterns are told apart, of rows that stay on their ranks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from dcam_dist.clustering import ClusterFit, Rows
from dcam_dist.clustering.torch_points import projected
from dcam_dist.clustering.torch_silhouette import silhouette
from dcam_dist.clustering.torch_validity import cluster_spread, nearest_of
from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext, ranks_of


@dataclass(frozen=True)
class PatternQuality:
    """Scores in the clustering space; the same on every rank.

    Attributes:
        inertia: Sum of squared distances to the nearest centroid.
        silhouette: Of a sample of the rows where there are more than ``evaluation.silhouette_cases``.
        davies_bouldin: Of all rows.
        calinski_harabasz: Of all rows.
        refilled: Empty patterns that were refilled.
    """

    inertia: float
    silhouette: float
    davies_bouldin: float
    calinski_harabasz: float
    refilled: int

    def line(self) -> str:
        """For the console."""
        refilled = f", {self.refilled} refilled" if self.refilled else ""
        return (
            f"patterns: inertia {self.inertia:.6g}, silhouette {self.silhouette:.3f}, Davies-Bouldin "
            f"{self.davies_bouldin:.3f}, Caliński-Harabasz {self.calinski_harabasz:.4g}{refilled}"
        )

    def tree(self) -> Mapping[str, float]:
        """As JSON holds it."""
        return asdict(self)


def pattern_quality(rows: Rows, fit: ClusterFit, config: Config, context: ProcessContext) -> PatternQuality:
    """Score the patterns of the rows of all ranks, which call together; rows are read a few times, chunk by chunk."""
    clusters, ranks, labels = len(fit.size_K), ranks_of(context), nearest_of(fit.model.centroid_KP)
    most = config.evaluation.silhouette_cases
    with projected(rows, fit.model, context.device) as points:
        spread = cluster_spread(points, labels, clusters, ranks, context.device)
        mean = silhouette(points, labels, clusters, ranks, context.device, max_cases=most, seed=config.seed)
    return PatternQuality(fit.inertia, mean, spread.davies_bouldin(), spread.calinski_harabasz(), fit.repaired)
