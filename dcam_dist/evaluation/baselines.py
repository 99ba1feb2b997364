"""Honest baselines: what densitometry alone, without a network and without labels, already finds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.evaluation.scoring import ClusteredSplits

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class BaselineClusters:
    """A baseline's clusters and the space that they were found in; it never sees a label.

    Attributes:
        train_cluster_N: int64 cluster ids.
        test_cluster_N: The nearest training centre's id.
        train_points_NP: The clustered points, float64.
        test_points_NP: The same for test.
        space: What that space is, in words.
    """

    train_cluster_N: NDArray[np.int64]
    test_cluster_N: NDArray[np.int64]
    train_points_NP: NDArray[np.float64]
    test_points_NP: NDArray[np.float64]
    space: str

    def with_labels(self, train_label_N: NDArray[np.int64], test_label_N: NDArray[np.int64]) -> ClusteredSplits:
        """The same beside the cases' labels, ready to be scored."""
        return ClusteredSplits(
            train_cluster_N=self.train_cluster_N,
            train_label_N=train_label_N,
            test_cluster_N=self.test_cluster_N,
            test_label_N=test_label_N,
            train_points_NP=self.train_points_NP,
            test_points_NP=self.test_points_NP,
            space=self.space,
        )


def laa950_binning(train_laa950_N: Floats, test_laa950_N: Floats, *, clusters: int, seed: int) -> BaselineClusters:
    """Bin the cases by their LAA-950 alone: one-dimensional k-means fitted on train.

    Args:
        train_laa950_N: Share of the lung below −950 HU, in any unit, of each training case.
        test_laa950_N: The same of each test case.
        clusters: Number of bins; fewer where train has fewer distinct values.
        seed: Of k-means.

    Returns:
        Bins in ascending order of LAA-950.

    Raises:
        ValueError: Without a training case, or on a value that is not finite.
    """
    train, test = np.asarray(train_laa950_N, np.float64)[:, None], np.asarray(test_laa950_N, np.float64)[:, None]
    _refuse(~np.isfinite(np.vstack([train, test])), train)
    centre_KP = np.sort(_kmeans_centres(train, clusters, seed), axis=0)
    return _assigned(train, test, centre_KP, "LAA-950")


def densitometry_clusters(train_NF: Floats, test_NF: Floats, *, clusters: int, seed: int) -> BaselineClusters:
    """K-means on the densitometry of the cases, each measure standardised on train.

    Args:
        train_NF: Measures of the training cases; NaN where one could not be taken.
        test_NF: The same measures of the test cases.
        clusters: Number of clusters; fewer where train has fewer distinct cases.
        seed: Of k-means.

    Returns:
        Clusters in k-means' own order. A missing measure takes the training median (the measure's middle says
        nothing about the case); one that no training case has, or that is the same in all, does not count.

    Raises:
        ValueError: Without a training case, or on an infinite value.
    """
    _refuse(np.isinf(np.vstack([train_NF, test_NF])), np.asarray(train_NF, np.float64))
    train, test = _standardised(np.asarray(train_NF, np.float64), np.asarray(test_NF, np.float64))
    return _assigned(train, test, _kmeans_centres(train, clusters, seed), "standardised densitometry")


def _standardised(train_NF: NDArray[np.float64], test_NF: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    known_F = ~np.isnan(train_NF).all(axis=0)
    median_F = np.nanmedian(train_NF[:, known_F], axis=0)
    train, test = (np.where(np.isnan(x), median_F, x) for x in (train_NF[:, known_F], test_NF[:, known_F]))
    # An infinite scale puts a measure that is the same in all training cases at 0 in every case.
    scale_F = np.where(np.ptp(train, axis=0) > 0, train.std(axis=0), np.inf)
    return (train - train.mean(axis=0)) / scale_F, (test - train.mean(axis=0)) / scale_F


def _kmeans_centres(points_NP: NDArray[np.float64], clusters: int, seed: int) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans

    distinct = len(np.unique(points_NP, axis=0))
    fitted = KMeans(min(clusters, distinct), n_init=10, random_state=seed).fit(points_NP)
    return np.asarray(fitted.cluster_centers_, dtype=np.float64)


def _assigned(
    train_NP: NDArray[np.float64], test_NP: NDArray[np.float64], centre_KP: NDArray[np.float64], space: str
) -> BaselineClusters:
    train_N, test_N = _nearest(train_NP, centre_KP), _nearest(test_NP, centre_KP)
    return BaselineClusters(train_N, test_N, train_NP, test_NP, space)


def _nearest(points_NP: NDArray[np.float64], centre_KP: NDArray[np.float64]) -> NDArray[np.int64]:
    distance_NK = ((points_NP[:, None] - centre_KP) ** 2).sum(axis=2)
    nearest_N: NDArray[np.int64] = distance_NK.argmin(axis=1)
    return nearest_N


def _refuse(unusable: NDArray[np.bool_], train: NDArray[np.float64]) -> None:
    if not len(train) or unusable.any():
        raise ValueError("densitometry must be finite, of at least one training case, to be clustered")
