"""``evaluate``: score finished runs on both splits beside honest baselines, and write what was found."""

import csv
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcam_dist.cohort import Cohort
from dcam_dist.config import Config
from dcam_dist.distributed import ProcessContext, open_processes
from dcam_dist.errors import UsageError
from dcam_dist.evaluation.baselines import densitometry_clusters, laa950_binning
from dcam_dist.evaluation.networks import NetworkClusters, trained_clusters, untrained_clusters
from dcam_dist.evaluation.scoring import ClusteredSplits, MethodScores, score
from dcam_dist.evaluation.splits import SplitTable, splits_of
from dcam_dist.evaluation.table import render_markdown
from dcam_dist.runs import Checkpoint, RestoredRun, open_cohort_of, restore_run

HEAD, UNTRAINED = ", head's answer", ", untrained"
LAA_ROW, DENSITOMETRY_ROW = DENSITOMETRY_ROWS = ("LAA-950 binning", "densitometry k-means")
JSON_FILE, TABLE_FILE, CLUSTER_FILE = "evaluation.json", "evaluation.md", "clusters.csv"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What evaluating some runs came to.

    Attributes:
        methods: Scores by row name; with several runs the names carry the run's folder name.
        files: What was written.
        is_main: Whether this is rank 0.
    """

    methods: Mapping[str, MethodScores]
    files: tuple[Path, ...]
    is_main: bool


def evaluate(
    runs: Sequence[str | Path], *, cohort: str | Path | None = None, out: str | Path | None = None
) -> Evaluation:
    """Score each run and write ``evaluation.json``, ``evaluation.md`` and ``clusters.csv`` into it.

    A test case belongs to the nearest centroid of the clustering fitted on train; the head's own answer is a row
    beside it. Honest baselines: LAA-950 binning, k-means on densitometry, and the untrained network.

    Args:
        runs: Finished runs; several give one comparison.
        cohort: Where the cohort is now, when it has moved since training.
        out: A folder for the comparison of all runs, ``comparison.json`` and ``comparison.md``.

    Raises:
        UsageError: No run or no cohort at a path, or two runs of one name.
        DataError: A checkpoint or a stored volume is damaged.
    """
    restored = [restore_run(run) for run in runs]
    names = _names(restored)
    methods: dict[str, MethodScores] = {}
    densitometry: dict[str, dict[str, MethodScores]] = {row: {} for row in DENSITOMETRY_ROWS}
    files: list[Path] = []
    with open_processes() as context:
        for run, name in zip(restored, names, strict=True):
            opened = open_cohort_of(run, cohort)
            scores, clusters = evaluate_run(run, opened, context)
            if context.is_main:
                files += _write(run, opened, scores, clusters)
            for row, scored in scores.items():
                if row in DENSITOMETRY_ROWS:
                    densitometry[row][name] = scored
                else:
                    methods[name + row.removeprefix(run.config.method)] = scored
        for row, by_run in densitometry.items():
            methods |= _merged(row, by_run)
        if out is not None and context.is_main:
            files += _write_comparison(Path(out), methods)
        return Evaluation(methods, tuple(files), context.is_main)


def evaluate_run(
    run: RestoredRun, cohort: Cohort, context: ProcessContext
) -> tuple[dict[str, MethodScores], NetworkClusters]:
    """Scores of one run's rows by name, and its clusters case by case. All ranks call together."""
    table = splits_of(cohort)
    found = trained_clusters(run, cohort, table, context)
    rows: dict[str, MethodScores] = {}
    if found.by_centroid is None:
        rows[run.config.method] = _scored(found.by_head, run.config, table, supervised=True)
    else:
        rows[run.config.method] = _scored(found.by_centroid, run.config, table)
        rows[run.config.method + HEAD] = _scored(found.by_head, run.config, table)
        rows[run.config.method + UNTRAINED] = _scored(
            untrained_clusters(run, cohort, table, context), run.config, table
        )
    return rows | _densitometry_rows(run.config, table), found


def _densitometry_rows(config: Config, table: SplitTable) -> dict[str, MethodScores]:
    if table.train_measure_NF is None or table.test_measure_NF is None:
        return {}
    train, test = table.train_measure_NF, table.test_measure_NF
    clusters, laa950 = config.classes, table.measures.index("laa950")
    binned = laa950_binning(train[:, laa950], test[:, laa950], clusters=clusters, seed=config.seed)
    grouped = densitometry_clusters(train, test, clusters=clusters, seed=config.seed)
    labels = table.train_label_N, table.test_label_N
    return {
        LAA_ROW: _scored(binned.with_labels(*labels), config, table),
        DENSITOMETRY_ROW: _scored(grouped.with_labels(*labels), config, table),
    }


def _scored(splits: ClusteredSplits, config: Config, table: SplitTable, *, supervised: bool = False) -> MethodScores:
    return score(
        splits,
        clusters=config.classes,
        labels=table.label_names,
        permutations=config.evaluation.permutations,
        bootstrap=config.evaluation.bootstrap,
        silhouette_cases=config.evaluation.silhouette_cases,
        seed=config.seed,
        mapping=table.identity if supervised else None,
    )


def _names(runs: Sequence[RestoredRun]) -> list[str]:
    names = [run.config.method if len(runs) == 1 else run.path.resolve().name for run in runs]
    if len(set(names)) != len(names):
        raise UsageError(f"two runs are called {max(names, key=names.count)!r}; the table tells them apart by name")
    return names


def _merged(row: str, by_run: Mapping[str, MethodScores]) -> dict[str, MethodScores]:
    # what knows no network is the same for all runs, unless their cohorts, seeds or numbers of clusters differ
    found = list(by_run.values())
    if all(scores.to_dict() == found[0].to_dict() for scores in found):
        return {row: found[0]} if found else {}
    return {f"{name}, {row}": scores for name, scores in by_run.items()}


def _write_comparison(folder: Path, methods: Mapping[str, MethodScores]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in ("comparison.json", "comparison.md")]
    rows = {name: row.to_dict() for name, row in methods.items()}
    files[0].write_text(json.dumps({"rows": rows}, indent=1, allow_nan=False), encoding="utf-8")
    files[1].write_text(_tables(methods), encoding="utf-8")
    return files


def _tables(methods: Mapping[str, MethodScores]) -> str:
    return "\n".join(render_markdown(methods, split) for split in ("train", "test"))


def _weights_of_epoch(checkpoint: Checkpoint) -> int:
    """A finished supervised run holds those with the best validation loss, where it validated."""
    best = checkpoint.best if checkpoint.finished else None
    return checkpoint.epoch if best is None else best.epoch + 1


def _write(
    run: RestoredRun, cohort: Cohort, scores: Mapping[str, MethodScores], clusters: NetworkClusters
) -> list[Path]:
    files = [run.path / name for name in (JSON_FILE, TABLE_FILE, CLUSTER_FILE)]
    packages = ("dcam-dist", "torch", "scikit-learn", "numpy", "zarr")
    tree = {
        "method": run.config.method,
        "seed": run.config.seed,
        "epochs": run.checkpoint.epoch,
        "weights_of_epoch": _weights_of_epoch(run.checkpoint),
        "cases": {split: len(cohort.split(split)) for split in ("train", "test")},
        "labels": list(cohort.description.label_names),
        "permutations": run.config.evaluation.permutations,
        "bootstrap": run.config.evaluation.bootstrap,
        "rows": {name: row.to_dict() for name, row in scores.items()},
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    files[0].write_text(json.dumps(tree, indent=1, allow_nan=False), encoding="utf-8")
    files[1].write_text(_tables(scores), encoding="utf-8")
    with files[2].open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["case_id", "split", "cluster", "head_cluster", "distance"])
        writer.writeheader()
        writer.writerows(clusters.rows())
    return files
