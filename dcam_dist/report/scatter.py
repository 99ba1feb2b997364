"""The cases as points of a plane: along the first axes of the clustering space, and by UMAP."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dcam_dist.maps.compute import Floats
from dcam_dist.report.words import percent

NEIGHBOURS = 15
FEWEST_CASES = 10
NOT_INSTALLED = "UMAP is left out: it needs the extra umap (pip install 'dcam-dist[umap]')."
TOO_FEW = f"UMAP is left out: it needs {FEWEST_CASES} cases or more."


@dataclass(frozen=True, eq=False)
class Plane:
    """One drawing of the training cases.

    Attributes:
        key: ``pca`` or ``umap``.
        title: For the chooser.
        axes: What lies along x and y.
        points_N2: The cases.
    """

    key: str
    title: str
    axes: tuple[str, str]
    points_N2: NDArray[np.float64]


def planes(points_NP: Floats, seed: int) -> tuple[tuple[Plane, ...], str]:
    """The drawings, and why one is left out, if it is.

    Args:
        points_NP: The cases in the clustering space.
        seed: Of UMAP.
    """
    first = _first_axes(points_NP)
    if len(points_NP) < FEWEST_CASES:
        return (first,), TOO_FEW
    embedded = _umap(points_NP, seed)
    if embedded is None:
        return (first,), NOT_INSTALLED
    return (first, Plane("umap", "UMAP", ("UMAP 1", "UMAP 2"), embedded)), ""


def _first_axes(points_NP: Floats) -> Plane:
    """The two directions of largest variance within the space, with their shares of it."""
    centred_NP = (points_NP - points_NP.mean(axis=0)).astype(np.float64)
    _, singular_P, direction_PP = np.linalg.svd(centred_NP, full_matrices=False)
    direction_PP *= np.where(
        direction_PP[np.arange(len(direction_PP)), np.abs(direction_PP).argmax(axis=1)] < 0, -1, 1
    )[:, None]
    points_N2 = np.zeros((len(points_NP), 2))
    both = centred_NP @ direction_PP[:2].T
    points_N2[:, : both.shape[1]] = both
    share = np.zeros(2)
    power = singular_P**2
    if power.sum() > 0:
        share[: min(2, len(power))] = power[:2] / power.sum()
    axes = f"axis 1 ({percent(share[0])} of the variance)", f"axis 2 ({percent(share[1])})"
    return Plane("pca", "PCA", axes, points_N2)


def _umap(points_NP: Floats, seed: int) -> NDArray[np.float64] | None:
    with warnings.catch_warnings(), _same_threads():
        warnings.simplefilter("ignore")  # of numba, and that a seed takes one thread
        try:
            from umap import UMAP
        except ImportError:
            return None
        model = UMAP(n_neighbors=min(NEIGHBOURS, len(points_NP) - 1), random_state=seed, n_jobs=1)
        return np.asarray(model.fit_transform(points_NP), dtype=np.float64)


@contextmanager
def _same_threads() -> Iterator[None]:
    """Numba sets the OpenMP threads of the whole process; with others the same training ends in other last bits."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
