"""How many clusters: every criterion over a range of K."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.analysis.cluster import is_run
from dcam_dist.analysis.features import features_in, open_run
from dcam_dist.analysis.k_figures import Effort, KFigures, KSelection
from dcam_dist.analysis.k_files import write_selection
from dcam_dist.clustering import ALONE, ArrayRows, choose_backend
from dcam_dist.clustering.gap import GapPoint, GapReference, gap_at, gap_reference
from dcam_dist.clustering.model import Floats
from dcam_dist.clustering.stability import stability
from dcam_dist.clustering.torch_silhouette import silhouette
from dcam_dist.clustering.torch_validity import cluster_spread, known
from dcam_dist.config import Config
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.config.seeds import derived_seed
from dcam_dist.distributed import open_processes
from dcam_dist.errors import DataError, UsageError
from dcam_dist.launchers import read_launch
from dcam_dist.runs import read_features

Progress = Callable[[int, int, int], None]
"""Told after each clustering: how many are done, of how many, and the number of clusters in hand."""

FIRST, LAST = 2, 10


def select_k(
    source: str | Path,
    out: str | Path,
    config: Config,
    *,
    first: int = FIRST,
    last: int = LAST,
    effort: Effort | None = None,
    cohort: str | Path | None = None,
    progress: Progress = lambda *_: None,
) -> KSelection:
    """Cluster the training cases of a run, or all rows of a feature file, into ever more clusters; write the figures.

    In one process.

    Args:
        source: A finished run, or a feature file.
        out: The folder for ``select_k.json``, ``select_k.csv`` and ``select_k.png``.
        config: Its ``clustering`` (but the number of clusters) and ``seed`` are followed.
        first: See ``figures_over_k``.
        last: See ``figures_over_k``.
        effort: See ``figures_over_k``.
        cohort: Where the run's cohort is now, when it has moved.
        progress: Told after each clustering.

    Raises:
        UsageError: Neither a run nor a file, a range of K that is none, or several processes.
        DataError: A damaged source, too few rows, or rows that are all the same.
        OSError: When the folder cannot be written.
    """
    if read_launch().world_size > 1:
        raise UsageError("select-k is one process: write features under the launcher, then call it alone on their file")
    _check_range(first, last)
    source, out = Path(source), Path(out)
    out.mkdir(parents=True, exist_ok=True)  # told now, not when all is done
    with open_processes() as context:
        choose_backend(config.clustering, 0, context.device)  # one that is missing is told before scans are read
        of_run = is_run(source)
        table = features_in(*open_run(source, cohort), context, "train") if of_run else read_features(source)
        found = figures_over_k(
            table.features_NC,
            config.clustering,
            first=first,
            last=last,
            seed=config.seed,
            effort=effort,
            device=context.device,
            progress=progress,
        )
    write_selection(found, out)
    return found


def figures_over_k(
    features_NC: Floats,
    settings: ClusteringConfig,
    *,
    first: int = FIRST,
    last: int = LAST,
    seed: int = 0,
    effort: Effort | None = None,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> KSelection:
    """Cluster into ``first`` … ``last`` clusters, score each and ask how far it comes again.

    Args:
        features_NC: float32, of all cases; finite.
        settings: Of the clustering; its number of clusters does not count.
        first: Smallest K, at least 2. From 2 on the gap statistic is asked about a single cluster too.
        last: Largest K.
        seed: Of all draws; the same gives the same figures.
        effort: How much to try; ``None``: the default.
        device: Where scores are computed, and the torch and the cuML backend work.
        progress: Told after each clustering.

    Raises:
        UsageError: A range without two numbers of clusters, or one below 2.
        DataError: No more cases than ``last``, or cases that are all the same.
    """
    _check_range(first, last)
    cases, channels = features_NC.shape
    if cases <= last:
        raise DataError(f"{cases} cases: --to {last} needs more of them than clusters; lower it or add cases")
    effort = effort or Effort()
    alone = effort.references + 1 if first == FIRST else 0
    told = _Told(progress, effort.clusterings * (last - first + 1) + alone)
    sweep = _Sweep(features_NC, gap_reference(features_NC), settings, seed, effort, device, told)
    gap_of_one = sweep.gap(1) if first == FIRST else None
    figures = tuple(sweep.figures(clusters) for clusters in range(first, last + 1))
    return KSelection(figures, gap_of_one, cases, channels, settings, effort, seed)


def _check_range(first: int, last: int) -> None:
    if not FIRST <= first < last:
        raise UsageError(f"--from {first} --to {last}: give a range of at least two numbers, from {FIRST} on")


class _Told:
    """Counts clusterings."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def one(self, clusters: int) -> None:
        self._done += 1
        self._progress(self._done, self._total, clusters)


@dataclass(frozen=True, eq=False)
class _Sweep:
    """What is the same at every K."""

    features_NC: Floats
    reference: GapReference
    settings: ClusteringConfig
    seed: int
    effort: Effort
    device: str
    told: _Told

    def gap(self, clusters: int) -> GapPoint:
        return gap_at(
            self.features_NC,
            self.reference,
            self.settings,
            clusters=clusters,
            references=self.effort.references,
            seed=self.seed,
            device=self.device,
            fitted=lambda: self.told.one(clusters),
        )

    def figures(self, clusters: int) -> KFigures:
        again = stability(
            self.features_NC,
            self.settings.model_copy(update={"clusters": clusters}),
            seed=self.seed,
            seeds=self.effort.seeds,
            resamples=self.effort.resamples,
            device=self.device,
            fitted=lambda: self.told.one(clusters),
        )
        points, labels = ArrayRows(again.reference.model.project(self.features_NC)), known(again.label_N)
        spread = cluster_spread(points, labels, clusters, ALONE, self.device)
        drawn_by, most = derived_seed(self.seed, "silhouette", 0), self.effort.silhouette_cases
        return KFigures(
            self.gap(clusters),
            again,
            silhouette(points, labels, clusters, ALONE, self.device, max_cases=most, seed=drawn_by),
            spread.davies_bouldin(),
            spread.calinski_harabasz(),
        )
