"""Who is compared in ``benchmarks.clustering``, and on what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from benchmarks.clustering_contender import COMPONENTS, Case
from benchmarks.peers import find

OURS, OURS_ALONE = "torch, 2 ranks", "torch, 1 rank"
SKLEARN, SKLEARN_IN_PLACE, FAISS, CUML = "scikit-learn", "scikit-learn, copy_x=False", "faiss-cpu", "cuML"
PIPELINE, SKLEARN_PIPELINE = "torch pipeline, 2 ranks", "scikit-learn pipeline"
THREADS, CORES = 2, 2


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        rows: The largest is run one contender after another, for their memory's sake.
        clusters: With each number of rows.
        channels: With each number of rows.
        other_clusters: Further ones, with ``few_rows``.
        other_channels: Further ones, with ``few_rows`` and the most clusters.
        few_rows: One of the numbers of rows.
        ranks: One thread each, with the second largest number of rows.
        iterations: Two numbers, whose difference gives the time of one.
        sessions: Fresh processes, and so samples of their memory, of the two largest numbers of rows.
    """

    rows: tuple[int, ...] = (2_000, 100_000, 1_000_000, 10_000_000)
    clusters: tuple[int, ...] = (6, 64)
    channels: int = 64
    other_clusters: tuple[int, ...] = (12, 24)
    other_channels: tuple[int, ...] = (8, 256)
    few_rows: int = 100_000
    ranks: tuple[int, ...] = (1, 2, 3, 4)
    iterations: tuple[int, int] = (5, 20)
    sessions: int = 3


FULL = Plan()
SMOKE = Plan(
    rows=(600, 900),
    clusters=(3,),
    channels=COMPONENTS,
    other_clusters=(),
    other_channels=(),
    few_rows=600,
    ranks=(1,),
    iterations=(1, 3),
    sessions=1,
)


def contenders() -> dict[str, Case]:
    """Those that can run here, by name; sizes are put in later."""
    empty = Case("", 0, 0, 0, 0)
    there = {
        OURS: replace(empty, contender="torch_kmeans", ranks=2, threads=1),
        OURS_ALONE: replace(empty, contender="torch_kmeans", threads=THREADS),
        SKLEARN: replace(empty, contender="sklearn_kmeans", threads=THREADS),
        SKLEARN_IN_PLACE: replace(empty, contender="sklearn_in_place", threads=THREADS),
    }
    there |= {FAISS: replace(empty, contender="faiss_kmeans", threads=THREADS)} if find("faiss") else {}
    return there | ({CUML: replace(empty, contender="cuml_kmeans", threads=THREADS)} if gpu_and_cuml() else {})


def gpu_and_cuml() -> bool:
    """Whether cuML can run here."""
    import torch

    return torch.cuda.is_available() and find("cuml") is not None


Group = tuple[Mapping[str, Case], int, bool]


def groups(plan: Plan, seed: int) -> Iterator[Group]:
    """Cases that take turns, in how many sessions, and whether their processes live side by side."""

    def sized(cases: Mapping[str, Case], rows: int, channels: int, clusters: int) -> dict[str, Case]:
        size = {"rows": rows, "channels": channels, "clusters": clusters, "seed": seed}
        return {name: replace(case, **size) for name, case in cases.items()}

    there, (*small, main, most) = contenders(), plan.rows
    one = Case("torch_kmeans", 0, 0, 0, 0, threads=1)
    by_rank = {rank_name(ranks): replace(one, ranks=ranks) for ranks in plan.ranks}
    for rows, clusters in product((*small, main), plan.clusters):
        yield sized(there, rows, plan.channels, clusters), plan.sessions if rows == main else 1, True
    for clusters in plan.other_clusters:
        yield sized(there, plan.few_rows, plan.channels, clusters), 1, True
    for channels in plan.other_channels:
        yield sized(there, plan.few_rows, channels, max(plan.clusters)), 1, True
    for clusters in plan.clusters:
        yield sized(by_rank, main, plan.channels, clusters), 1, True
    ours = {PIPELINE: replace(one, contender="torch_pipeline", ranks=2)}
    both = {**ours, SKLEARN_PIPELINE: replace(one, contender="sklearn_pipeline", threads=THREADS)}
    yield sized(both, main, plan.channels, min(plan.clusters)), plan.sessions, True
    yield sized(ours, most, plan.channels, min(plan.clusters)), plan.sessions, False
    for clusters in plan.clusters:
        yield sized(there, most, plan.channels, clusters), plan.sessions, False


def rank_name(ranks: int) -> str:
    """Name of the contender of so many ranks of one thread."""
    return f"torch, ranks of 1 thread: {ranks}"
