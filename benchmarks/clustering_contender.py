"""One process of one contender of ``benchmarks.clustering``; takes its orders from stdin, answers on stdout.

Arguments: a ``Case`` as JSON. Several ranks are several such processes, told apart by a launcher's variables. It
imports its library and makes its rows before the first order, and says so; each order is then one line of JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.clustering_data import Floats, first_centroids, make_rows
from benchmarks.resident import forget_peak, peak_bytes, resident_bytes

COMPONENTS, RESTARTS = 8, 3
"""Of the whole pipeline: scale, PCA, k-means."""
FEW = 256


@dataclass(frozen=True)
class Case:
    """What is clustered, and who does it.

    Attributes:
        contender: A key of ``CONTENDERS``.
        rows: Of all ranks.
        channels: Of a row.
        clusters: K.
        seed: Of the rows.
        ranks: Processes.
        threads: Of each.
    """

    contender: str
    rows: int
    channels: int
    clusters: int
    seed: int
    ranks: int = 1
    threads: int = 2


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        updates: Of the centroids.
        inertia: Sum of squared distances of this process's rows to the nearest centroid; computed when called.
    """

    updates: int
    inertia: Callable[[], float]


@dataclass(frozen=True, eq=False)
class Given:
    """What a process works on.

    Attributes:
        rows_NC: Its own rows.
        start_KC: First centroids.
        case: Of the benchmark.
        context: This process among its ranks, for the torch backend.
    """

    rows_NC: Floats
    start_KC: Floats
    case: Case
    context: Any


class CountedRows:
    """``ArrayRows`` that count how often they are read from the start."""

    def __init__(self, rows_NC: Floats) -> None:
        from dcam_dist.clustering import ArrayRows

        self._rows, self.passes = ArrayRows(rows_NC), 0

    @property
    def shape(self) -> tuple[int, int]:
        """See ``Rows``."""
        return self._rows.shape

    def chunks(self) -> Iterator[Floats]:
        """See ``Rows``."""
        self.passes += 1
        return self._rows.chunks()


def torch_kmeans(given: Given, iterations: int) -> Outcome:
    """Lloyd's iterations of the torch backend, then the inertia, as in its ``fit``."""
    from dcam_dist.clustering.torch_lloyd import inertia_and_sizes, lloyd
    from dcam_dist.distributed.ranks import ranks_of

    rows, ranks, device = CountedRows(given.rows_NC), ranks_of(given.context), given.context.device
    centroid_RKC = lloyd(rows, given.start_KC[None], iterations, ranks, device)
    updates = rows.passes
    inertia_and_sizes(rows, centroid_RKC, ranks, device)
    return Outcome(updates, lambda: sum_of_squares(given.rows_NC, centroid_RKC[0]))


def torch_pipeline(given: Given, iterations: int) -> Outcome:
    """``TorchBackend.fit``."""
    from dcam_dist.clustering import ArrayRows
    from dcam_dist.clustering.torch_backend import TorchBackend
    from dcam_dist.config.schema import ClusteringConfig
    from dcam_dist.distributed.ranks import ranks_of

    settings = ClusteringConfig(
        clusters=given.case.clusters, pca_components=COMPONENTS, restarts=RESTARTS, iterations=iterations
    )
    rows, context = ArrayRows(given.rows_NC), given.context
    fit = TorchBackend(context.device).fit(rows, settings, given.case.seed, ranks_of(context))
    return Outcome(iterations, lambda: fit.inertia if context.is_main else 0.0)


def sklearn_kmeans(given: Given, iterations: int, *, copy: bool = True) -> Outcome:
    """``KMeans`` with Lloyd's iterations."""
    from sklearn.cluster import KMeans

    kmeans = KMeans(
        given.case.clusters,
        init=given.start_KC,
        n_init=1,
        max_iter=iterations,
        tol=0,
        algorithm="lloyd",
        copy_x=copy,
    ).fit(given.rows_NC)
    return Outcome(kmeans.n_iter_, lambda: sum_of_squares(given.rows_NC, kmeans.cluster_centers_))


def sklearn_in_place(given: Given, iterations: int) -> Outcome:
    """The same without its copy of the rows, which it then centres and puts back."""
    return sklearn_kmeans(given, iterations, copy=False)


def sklearn_pipeline(given: Given, iterations: int) -> Outcome:
    """``StandardScaler``, ``PCA``, ``KMeans``."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clusters, seed = given.case.clusters, given.case.seed
    kmeans = KMeans(clusters, n_init=RESTARTS, max_iter=iterations, algorithm="lloyd", random_state=seed)
    make_pipeline(StandardScaler(), PCA(COMPONENTS, random_state=seed), kmeans).fit(given.rows_NC)
    return Outcome(iterations, lambda: float(kmeans.inertia_))


def faiss_kmeans(given: Given, iterations: int) -> Outcome:
    """``faiss.Kmeans`` on all rows; it makes no last assignment."""
    import faiss

    kmeans = faiss.Kmeans(
        given.case.channels,
        given.case.clusters,
        niter=iterations,
        nredo=1,
        max_points_per_centroid=len(given.rows_NC),
        min_points_per_centroid=1,
    )
    kmeans.train(given.rows_NC, init_centroids=given.start_KC)
    return Outcome(len(kmeans.obj), lambda: sum_of_squares(given.rows_NC, kmeans.centroids))


def cuml_kmeans(given: Given, iterations: int) -> Outcome:
    """``cuml.cluster.KMeans``, from the rows in host memory."""
    from cuml.cluster import KMeans

    kmeans = KMeans(
        n_clusters=given.case.clusters,
        init=given.start_KC,
        n_init=1,
        max_iter=iterations,
        tol=1e-20,  # as good as none, which cuVS refuses
        output_type="numpy",
    ).fit(given.rows_NC)
    return Outcome(int(kmeans.n_iter_), lambda: sum_of_squares(given.rows_NC, np.asarray(kmeans.cluster_centers_)))


CONTENDERS = {
    one.__name__: one
    for one in (
        torch_kmeans,
        torch_pipeline,
        sklearn_kmeans,
        sklearn_in_place,
        sklearn_pipeline,
        faiss_kmeans,
        cuml_kmeans,
    )
}


def sum_of_squares(rows_NC: Floats, centroid_KC: Floats) -> float:
    """Sum of squared distances to the nearest centroid; for all contenders alike, and not on the clock."""
    centroids, total = centroid_KC.astype(np.float32), 0.0
    square_K = np.square(centroids).sum(axis=1)
    for start in range(0, len(rows_NC), 2**14):
        some_NC = rows_NC[start : start + 2**14]
        near = (square_K - 2 * (some_NC @ centroids.T)).argmin(axis=1)
        total += float(np.square(some_NC - centroids[near], dtype=np.float64).sum())
    return total


def main() -> None:
    """Get ready, then fit as often as told."""
    case = Case(**json.loads(sys.argv[1]))
    distributed = case.contender.startswith("torch")
    if distributed:
        from dcam_dist.distributed import open_processes
    with open_processes() if distributed else nullcontext() as context:
        rank = context.rank if context else 0
        rows_NC = make_rows(case.seed, *(case.rows * one // case.ranks for one in (rank, rank + 1)), case.channels)
        start_KC = first_centroids(case.seed, case.clusters, case.channels)
        given = Given(rows_NC, start_KC, case, context)
        # a library loads its code at its first call: on so few rows that it keeps nothing worth counting
        CONTENDERS[case.contender](replace(given, rows_NC=rows_NC[:FEW].copy()), 2)
        forget_peak()
        resting, outcome = resident_bytes(), None
        _say({"ready": True})
        for line in sys.stdin:
            order = json.loads(line)
            if "iterations" in order:
                outcome, answer = _timed(given, order["iterations"])
                _say({**answer, "peak_bytes": peak_bytes() - resting})
            elif outcome is not None:
                _say({"inertia": outcome.inertia()})


def _timed(given: Given, iterations: int) -> tuple[Outcome, dict[str, float]]:
    if given.context:
        from dcam_dist.distributed.ranks import ranks_of

        ranks_of(given.context).sum(np.zeros(1))  # all begin together
    started, used = time.perf_counter(), time.process_time()
    outcome = CONTENDERS[given.case.contender](given, iterations)
    seconds = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - used}
    return outcome, {**seconds, "updates": outcome.updates}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
