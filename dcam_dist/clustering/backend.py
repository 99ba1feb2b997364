"""The contract that every clustering backend keeps, and the choice among them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.model import ClusterModel, Floats
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError, Diverged


@dataclass(frozen=True, eq=False)
class ClusterFit:
    """The outcome of one clustering.

    Attributes:
        model: The fitted model.
        label_N: Cluster of each row, int64.
        points_NP: The rows in the clustering space.
        inertia: Sum of squared distances to the nearest centroid.
        repaired: Empty clusters that were refilled.
    """

    model: ClusterModel
    label_N: NDArray[np.int64]
    points_NP: Floats
    inertia: float
    repaired: int


class ClusterBackend(Protocol):
    """Scale, reduce and cluster.

    A backend is deterministic in (features, settings, seed), leaves no cluster empty unless there are fewer distinct
    rows than clusters, fixes the sign of its components, and keeps min(components, N, C) of them.
    """

    name: str

    def fit(self, features_NC: Floats, settings: ClusteringConfig, seed: int) -> ClusterFit:
        """Cluster float32 features of shape (N, C).

        Raises:
            DataError: When there are fewer rows than clusters.
            Diverged: When a value is not finite.
        """


def choose_backend(settings: ClusteringConfig) -> ClusterBackend:
    """The backend that the configuration names; ``auto`` takes scikit-learn, the reference on the CPU."""
    from dcam_dist.clustering.sklearn_backend import SklearnBackend

    return SklearnBackend()


def check_features(features_NC: Floats, settings: ClusteringConfig) -> None:
    """Refuse what no backend can cluster.

    Raises:
        DataError, Diverged: See ``ClusterBackend.fit``.
    """
    if len(features_NC) < settings.clusters:
        raise DataError(
            f"{len(features_NC)} training cases cannot form {settings.clusters} clusters; "
            "lower clustering.clusters or add cases"
        )
    broken = np.flatnonzero(~np.isfinite(features_NC).all(axis=1))
    if len(broken):
        raise Diverged(
            f"features of {len(broken)} cases are not finite (first: row {broken[0]}); training has diverged: go on "
            "from its last checkpoint with a lower training.optimizer.lr and --change training.optimizer.lr"
        )
