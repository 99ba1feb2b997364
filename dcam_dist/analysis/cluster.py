"""``cluster``: scale → PCA → k-means on a run's features or on those of a file, saved to assign new rows."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.analysis.cluster_table import ClusterTable
from dcam_dist.analysis.features import features_in, open_run, origin
from dcam_dist.clustering import ArrayRows, ClusterFit, choose_backend
from dcam_dist.clustering.outliers import outlier_rule
from dcam_dist.clustering.placing import place
from dcam_dist.cohort.plain import open_plain
from dcam_dist.config import Config, load_config
from dcam_dist.distributed import ProcessContext, open_processes, ranks_of
from dcam_dist.metrics import davies_bouldin, match_to_previous, silhouette
from dcam_dist.runs import (
    ClusterArtefact,
    RestoredRun,
    read_feature_file,
    write_artefact,
)
from dcam_dist.runs.artefact import TABLE, check_place
from dcam_dist.runs.artefact_files import FILE_ROWS, LUNG_ROWS
from dcam_dist.runs.feature_files import ORIGINS
from dcam_dist.runs.feature_formats import READERS
from dcam_dist.runs.run_config import CONFIG
from dcam_dist.training.together import on_main, same_on_all_ranks, together
from dcam_dist.types import UNASSIGNED, FeatureTable


@dataclass(frozen=True, eq=False)
class ClusterSummary:
    """What a clustering came to; whole on rank 0.

    Attributes:
        artefact: As it was saved.
        table: The cases that it was made of.
        silhouette: Of them in the clustering space; NaN with one cluster.
        davies_bouldin: The same.
        repaired: Empty clusters that were refilled.
    """

    artefact: ClusterArtefact
    table: ClusterTable
    silhouette: float
    davies_bouldin: float
    repaired: int

    def lines(self) -> list[str]:
        """For the console."""
        saved = self.artefact
        sizes = "/".join(str(size) for size in saved.size_K)
        ids = "" if saved.new_id_K is None else ", ids matched to the run's"
        refilled = f", {self.repaired} refilled" if self.repaired else ""
        return [
            f"space: {saved.space}",
            f"{saved.clusters} clusters of {saved.size_K.sum()} rows by {saved.backend}: sizes {sizes}{ids}{refilled}",
            f"inertia {saved.inertia:.6g}, silhouette {self.silhouette:.3f}, Davies-Bouldin {self.davies_bouldin:.3f}",
            self.table.outliers_in_words(),
        ]


@dataclass(frozen=True, eq=False)
class _Origin:
    """Where rows come from.

    Attributes:
        rows: What one is, in words.
        source: Hashes that name it.
        cluster_of: The clusters whose ids are kept, by case.
        clusters: Their number; 0 where there are none.
    """

    rows: str
    source: Mapping[str, str]
    cluster_of: Mapping[str, int]
    clusters: int


def is_run(source: Path) -> bool:
    """Whether a source of features is a run's directory, or what should be one, not a file."""
    return source.is_dir() or source.suffix not in READERS


def cluster_config(source: Path, config: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a clustering: the file's, else the run's, else the defaults, with overrides.

    Raises:
        UsageError: A malformed configuration.
    """
    if config is None and (source / CONFIG).is_file():
        config = source / CONFIG
    return load_config(config, overrides)


def cluster(
    source: str | Path, out: str | Path, config: Config, *, cohort: str | Path | None = None
) -> ClusterSummary | None:
    """Cluster the training cases of a run, or all rows of a feature file; write the artefact and ``clusters.csv``.

    Alone or on every rank of a launcher, which all call together; each rank then clusters rows of its own. The clusters
    of a run have the ids of those clusters of its closing clustering that they overlap most, if there are as many.

    Args:
        source: A finished run, or a feature file.
        out: The artefact's folder; an earlier artefact in its place is replaced.
        config: Its ``clustering``, ``evaluation.silhouette_cases`` and ``seed`` are followed.
        cohort: Where the run's cohort is now, when it has moved.

    Returns:
        What it came to, on rank 0; ``None`` on the others.

    Raises:
        UsageError: Neither a run nor a file, or something else at ``out``.
        DataError: A damaged source, or fewer rows than clusters.
        EnvironmentFault: The backend cannot be used here, or the artefact cannot be written.
    """
    source, out = Path(source), Path(out)
    with open_processes(config.training.timeout_s) as context:
        on_main(partial(check_place, out), context)
        together(partial(choose_backend, config.clustering, 0, context.device), context)  # before scans are read
        if is_run(source):
            run, opened = together(partial(open_run, source, cohort), context)
            table = features_in(run, opened, context, "train")
            return _cluster(table, _origin_of_run(run, origin(run, opened)), out, config, context)
        table, of_file = together(partial(_read, source), context)
        same_on_all_ranks(of_file.source, f"files under the name {source}", context)
        return _cluster(table, of_file, out, config, context)


def _read(source: Path) -> tuple[FeatureTable, _Origin]:
    file = read_feature_file(source)
    names = {"kind": "features", "file_sha256": _sha256(source)}
    names |= {key: file.about[key] for key in ORIGINS if key in file.about}
    return file.table, _Origin(file.about.get("rows", FILE_ROWS), names, {}, 0)


def _origin_of_run(run: RestoredRun, source: Mapping[str, str]) -> _Origin:
    model = run.checkpoint.clustering
    known = {} if model is None else run.assignment.by_case()
    return _Origin(LUNG_ROWS, source, known, 0 if model is None else len(model.centroid_KP))


def _cluster(
    table: FeatureTable, origin: _Origin, out: Path, config: Config, context: ProcessContext
) -> ClusterSummary | None:
    settings, count = config.clustering, len(table.case_id_N)
    mine = np.array_split(table.features_NC, context.world_size)[context.rank]
    backend = choose_backend(settings, count, context.device)
    fit = backend.fit(ArrayRows(mine), settings, config.seed, ranks_of(context))
    made: list[ClusterSummary] = []

    def finish() -> None:
        made.append(_summary(fit, table, origin, config))
        write_artefact(out, made[0].artefact)
        made[0].table.write(out / TABLE)

    on_main(finish, context)
    return made[0] if made else None


def _summary(fit: ClusterFit, table: FeatureTable, origin: _Origin, config: Config) -> ClusterSummary:
    new_id_K = _matching(fit, table, origin)
    model = fit.model if new_id_K is None else fit.model.with_cluster_order(new_id_K)
    placed = place(table.features_NC, model)
    rule, score_N = outlier_rule(table.features_NC, model)
    artefact = ClusterArtefact(
        model=model,
        rows=origin.rows,
        size_K=np.bincount(placed.label_N, minlength=len(model.centroid_KP)),
        inertia=fit.inertia,
        settings=config.clustering,
        backend=fit.backend,
        seed=config.seed,
        source=origin.source,
        created_by="cluster",
        new_id_K=new_id_K,
        outliers=rule,
    )
    points_NP = model.project(table.features_NC)
    most = config.evaluation.silhouette_cases
    return ClusterSummary(
        artefact,
        ClusterTable(table.case_id_N, placed, rule.p_values_within(score_N), rule.smallest_p),
        silhouette(points_NP, placed.label_N, max_cases=most, seed=config.seed),
        davies_bouldin(points_NP, placed.label_N),
        fit.repaired,
    )


def _matching(fit: ClusterFit, table: FeatureTable, origin: _Origin) -> NDArray[np.int64] | None:
    clusters = len(fit.model.centroid_KP)
    if clusters != origin.clusters:
        return None
    known_N = np.array([origin.cluster_of.get(case_id, UNASSIGNED) for case_id in table.case_id_N], dtype=np.int64)
    return match_to_previous(known_N, place(table.features_NC, fit.model).label_N, clusters)


def _sha256(path: Path) -> str:
    with open_plain(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
