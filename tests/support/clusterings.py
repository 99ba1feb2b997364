"""Rows of six groups with a falling spectrum, and their clustering, as a case's features look."""

from dataclasses import dataclass

import numpy as np

from dcam_dist.clustering import ALONE, ArrayRows, ClusterFit
from dcam_dist.clustering.outliers import outlier_rule
from dcam_dist.clustering.sklearn_backend import SklearnBackend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.runs import ClusterArtefact


@dataclass(frozen=True)
class Population:
    """Where rows are drawn from.

    Attributes:
        centre_KC: Of its groups.
        axes_CC: Directions within a group, the broadest first.
        spread_C: Along them.
    """

    centre_KC: np.ndarray
    axes_CC: np.ndarray
    spread_C: np.ndarray

    @classmethod
    def of(cls, seed: int, *, channels: int = 64, groups: int = 6) -> "Population":
        rng = np.random.default_rng([1, seed])
        axes, _ = np.linalg.qr(rng.normal(size=(channels, channels)))
        return cls(rng.normal(size=(groups, channels)), axes, 1 / np.sqrt(1 + np.arange(channels)))

    def rows(self, count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng([2, seed])
        own = (rng.normal(size=(count, len(self.spread_C))) * self.spread_C) @ self.axes_CC
        return (self.centre_KC[rng.integers(0, len(self.centre_KC), count)] + own).astype(np.float32)


def cluster_rows(rows: np.ndarray, seed: int = 0, **settings: object) -> ClusterFit:
    return SklearnBackend().fit(ArrayRows(rows), settings_of(**settings), seed, ALONE)


def settings_of(**settings: object) -> ClusteringConfig:
    return ClusteringConfig(**{"restarts": 2, **settings})


def make_artefact(rows: np.ndarray | None = None, **settings: object) -> ClusterArtefact:
    rows = Population.of(0).rows(200, 0) if rows is None else rows
    fit = cluster_rows(rows, **settings)
    return ClusterArtefact(
        model=fit.model,
        rows="rows of a test",
        size_K=fit.size_K,
        inertia=fit.inertia,
        settings=settings_of(**settings),
        backend=fit.backend,
        seed=0,
        source={"kind": "test"},
        created_by="a test",
        outliers=outlier_rule(rows, fit.model)[0],
    )
