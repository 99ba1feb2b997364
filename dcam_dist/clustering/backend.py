"""The contract that every clustering backend keeps."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.model import ClusterModel, Floats
from dcam_dist.clustering.ranks import Ranks
from dcam_dist.clustering.rows import Rows
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError, Diverged


@dataclass(frozen=True, eq=False)
class ClusterFit:
    """The outcome of one clustering; the same on every rank. ``model.assign`` gives the cluster of each row.

    Attributes:
        model: The fitted model.
        size_K: Rows of each cluster.
        inertia: Sum of squared distances to the nearest centroid.
        repaired: Empty clusters that were refilled.
        backend: Name of the backend.
    """

    model: ClusterModel
    size_K: NDArray[np.int64]
    inertia: float
    repaired: int
    backend: str


class ClusterBackend(Protocol):
    """Scale, reduce and cluster.

    A backend is deterministic in (rows, settings, seed), leaves no cluster empty unless there are fewer distinct rows
    than clusters, fixes the sign of its components, and keeps min(components, N, C) of them.
    """

    name: str

    def fit(self, rows: Rows, settings: ClusteringConfig, seed: int, ranks: Ranks) -> ClusterFit:
        """Cluster the rows of all ranks. All of them call together, each with rows of its own.

        Args:
            rows: float32 features of shape (N, C), N of this rank; none is fine where others have some.
            settings: Of the clustering.
            seed: Of whatever is drawn.
            ranks: The other processes.

        Raises:
            DataError: On every rank, when there are fewer rows than clusters.
            Diverged: On every rank, when a value is not finite.
        """


def refuse_too_few(rows: int, settings: ClusteringConfig) -> None:
    """Refuse fewer rows, of all ranks, than clusters.

    Raises:
        DataError: See ``ClusterBackend.fit``.
    """
    if rows < settings.clusters:
        raise DataError(f"{rows} rows cannot form {settings.clusters} clusters; lower clustering.clusters or add rows")


def refuse_not_finite(broken: int, first: int) -> None:
    """Refuse values that are not finite.

    Args:
        broken: Rows, of all ranks, that hold one.
        first: Index of the first of them.

    Raises:
        Diverged: See ``ClusterBackend.fit``.
    """
    if broken:
        raise Diverged(f"features of {broken} rows are not finite (first: row {first})")


def check_features(features_NC: Floats, settings: ClusteringConfig) -> None:
    """Refuse what no backend can cluster, of rows that are in memory.

    Raises:
        DataError, Diverged: See ``ClusterBackend.fit``.
    """
    refuse_too_few(len(features_NC), settings)
    broken = np.flatnonzero(~np.isfinite(features_NC).all(axis=1))
    refuse_not_finite(len(broken), int(broken[0]) if len(broken) else 0)
