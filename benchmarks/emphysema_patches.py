"""Clusters of labelled CT patches by our backends: agreement with the labels, beside chance and supervision; stability.

    python -m benchmarks.emphysema_patches --patches FILE --out benchmarks/results/emphysema_patches [--seeds 20]

FILE is an .npz of ``hu`` (N, H, W) int16 and ``label`` (N,) strings: the labelled emphysema patches of the Chest
Imaging Platform. Its ``License.txt``, where it lies beside FILE, is copied to the results. Writes
OUT/emphysema_patches.json and OUT/emphysema_patches.md.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.emphysema_report import report
from benchmarks.machine import load_average, machine
from dcam_dist.clustering import ALONE, ArrayRows, ClusterModel, choose_backend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import DataError
from dcam_dist.metrics import (
    adjusted_rand,
    bootstrap_interval,
    clustering_accuracy,
    davies_bouldin,
    majority_share,
    match_clusters,
    normalized_mutual_information,
    permutation_null,
    silhouette,
)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BACKENDS = ("sklearn", "torch")
RESTARTS, ITERATIONS = 10, 100
PERMUTATIONS, RESAMPLES = 2000, 2000
HALVES = 20
BIN_HU = 20
REFERENCE = {
    "majority share": 0.277,
    "k-means on LAA-950: ACC": 0.509,
    "k-means on PCA of 20-HU histograms: ACC": 0.443,
    "its silhouette": 0.27,
    "its Davies-Bouldin": 1.15,
    "logistic regression on histograms, unseen patches": 0.629,
}
LICENCE_PREFACE = (
    'All or portions of this licensed product (such portions are the "Software") have been obtained under license '
    "from The Brigham and Women's Hospital, Inc. and are subject to the following terms and conditions:\n\n"
)


@dataclass(frozen=True, eq=False)
class Patches:
    """Labelled patches.

    Attributes:
        hu_NHW: HU.
        label_N: Index into ``classes``.
        classes: Names, in alphabetical order.
    """

    hu_NHW: NDArray[np.int16]
    label_N: Ints
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """What the patches are clustered by.

    Attributes:
        name: In words.
        range_hu: Of the histogram; ``None``: the share below −950 HU.
        components: Axes of the PCA.
    """

    name: str
    range_hu: tuple[int, int] | None
    components: int


SPACES = (
    Space("LAA-950", None, 1),
    Space("histogram −1024 … 0 HU, PCA 6", (-1024, 0), 6),
    Space("histogram −1024 … −700 HU, PCA 10", (-1024, -700), 10),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Cluster, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parsed = parser.parse_args(arguments)
    started, load = time.perf_counter(), load_average()
    result = study(read_patches(parsed.patches), parsed.seeds)
    hardware = {**machine(), "load_before": load, "load_after": load_average()}
    result |= {"duration_s": round(time.perf_counter() - started, 1), "hardware": hardware}
    parsed.out.mkdir(parents=True, exist_ok=True)
    licence = parsed.patches.parent / "License.txt"
    if licence.is_file():
        (parsed.out / "License.txt").write_text(LICENCE_PREFACE + licence.read_text("utf-8", "replace"), "utf-8")
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (parsed.out / "emphysema_patches.json").write_text(text, encoding="utf-8")
    (parsed.out / "emphysema_patches.md").write_text(report(result), encoding="utf-8")
    print(report(result))


def read_patches(path: Path) -> Patches:
    """The patches of a file.

    Raises:
        DataError: When it is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            hu_NHW, names_N = file["hu"], file["label"]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: no patches: {error}; give an .npz of hu (N, H, W) and label (N,)") from None
    if hu_NHW.ndim != 3 or names_N.shape != hu_NHW.shape[:1]:
        raise DataError(f"{path}: hu {hu_NHW.shape} and label {names_N.shape} are not (N, H, W) and (N,)")
    classes, label_N = np.unique(names_N, return_inverse=True)
    return Patches(hu_NHW, label_N.astype(np.int64), tuple(map(str, classes)))


def features(patches: Patches, space: Space) -> Floats:
    """Shares of a patch's pixels, (N, C): below −950 HU, or in each bin of the histogram, what is outside left out."""
    if space.range_hu is None:
        return (patches.hu_NHW < -950).mean(axis=(1, 2), dtype=np.float64)[:, None].astype(np.float32)
    low, high = space.range_hu
    edges = np.arange(low, high + 1, BIN_HU)
    counts = np.stack([np.histogram(patch_HW, edges)[0] for patch_HW in patches.hu_NHW])
    return (counts / patches.hu_NHW[0].size).astype(np.float32)


def study(patches: Patches, seeds: int) -> dict[str, Any]:
    """Everything, as JSON."""
    clustered = {
        space.name: {backend: _clustered(patches, space, backend, seeds) for backend in BACKENDS} for space in SPACES
    }
    counts = np.bincount(patches.label_N)
    return {
        "patches": len(patches.label_N),
        "classes": dict(zip(patches.classes, map(int, counts), strict=True)),
        "majority_share": majority_share(patches.label_N),
        "seeds": seeds,
        "restarts": RESTARTS,
        "iterations": ITERATIONS,
        "permutations": PERMUTATIONS,
        "resamples": RESAMPLES,
        "clustered": clustered,
        "supervised": {space.name: _supervised(patches, features(patches, space)) for space in SPACES[1:]},
        "reference": REFERENCE,
    }


def _clustered(patches: Patches, space: Space, backend: str, seeds: int) -> dict[str, Any]:
    """Scores of the first seed, and how far the others differ."""
    rows_NC, label_N, classes = features(patches, space), patches.label_N, len(patches.classes)
    models = [_fit(rows_NC, space, backend, classes, seed) for seed in range(seeds)]
    cluster_SN = [model.assign(rows_NC) for model in models]
    mappings = [match_clusters(cluster_N, label_N, clusters=classes, labels=classes) for cluster_N in cluster_SN]
    acc_S = [clustering_accuracy(one, label_N, mapping) for one, mapping in zip(cluster_SN, mappings, strict=True)]
    points_SNP = [model.project(rows_NC) for model in models]
    pairs = zip(points_SNP, cluster_SN, strict=True)
    ari = [adjusted_rand(one, other) for one, other in combinations(cluster_SN, 2)]
    every = {
        "acc": acc_S,
        "silhouette": [silhouette(*pair, max_cases=10_000, seed=0) for pair in pairs],
        "davies_bouldin": [davies_bouldin(*pair) for pair in zip(points_SNP, cluster_SN, strict=True)],
    }
    return {"first_seed": _against_labels(cluster_SN[0], label_N, mappings[0], classes), **every, "pairwise_ari": ari}


def _fit(rows_NC: Floats, space: Space, backend: str, clusters: int, seed: int) -> ClusterModel:
    settings = ClusteringConfig.model_validate(
        {
            "backend": backend,
            "clusters": clusters,
            "pca_components": space.components,
            "restarts": RESTARTS,
            "iterations": ITERATIONS,
        }
    )
    return choose_backend(settings, len(rows_NC)).fit(ArrayRows(rows_NC), settings, seed, ALONE).model


def _against_labels(cluster_N: Ints, label_N: Ints, mapping_K: Ints, classes: int) -> dict[str, Any]:
    """Agreement with the labels, on the patches that the matching is fitted on; its null fits one as well."""
    null = permutation_null(
        cluster_N,
        label_N,
        cluster_N,
        label_N,
        clusters=classes,
        labels=classes,
        permutations=PERMUTATIONS,
        seed=0,
    ).train

    def drawn(index_N: Ints) -> float:
        return clustering_accuracy(cluster_N[index_N], label_N[index_N], mapping_K)

    return {
        "acc": drawn(np.arange(len(label_N))),
        "interval": bootstrap_interval(drawn, len(label_N), RESAMPLES, seed=0),
        "null_mean": null.mean,
        "null_p95": null.p95,
        "p_value": null.p_value,
        "ari": adjusted_rand(cluster_N, label_N),
        "nmi": normalized_mutual_information(cluster_N, label_N),
    }


def _supervised(patches: Patches, rows_NC: Floats) -> dict[str, Any]:
    """Accuracy of a logistic regression of the scaled histogram on patches that it has not seen."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model, halves = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)), []
    for seed in range(HALVES):
        seen, unseen, its, labels = train_test_split(
            rows_NC, patches.label_N, test_size=0.5, stratify=patches.label_N, random_state=seed
        )
        halves.append(float(model.fit(seen, its).score(unseen, labels)))
    predicted_N = cross_val_predict(model, rows_NC, patches.label_N, cv=StratifiedKFold(5))
    return {"halves": halves, "fifths_in_file_order": float(np.mean(predicted_N == patches.label_N))}


if __name__ == "__main__":
    main()
