"""What ``cluster --features voxel`` writes.

    OUT/
      patterns/         the patterns as an artefact: scaler, PCA, centroids
      subtypes/         the subtypes likewise, of histograms
      quality.json      silhouette and other scores of the patterns
      patterns.csv      each pattern's share of the training scans' lungs and its mean HU
      histograms.csv    each scan's share of lung voxels in each pattern
      subtypes.csv      each scan's subtype and its distance to that one's centroid
      maps/<case_id>/patterns.nii.gz   uint8, in the scan's space: the pattern of each voxel, 0 outside the lungs
      voxels/           features of voxels, where they were kept

Patterns and subtypes are numbered from 1, the largest first. A voxel of the scan has the pattern of the nearest voxel
of the training grid.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.analysis.pattern_features import DIGEST, PATTERN_MODEL, SHARES, SUPERVOXEL, digest_of
from dcam_dist.analysis.pattern_labels import PatternTable
from dcam_dist.analysis.pattern_quality import PatternQuality
from dcam_dist.analysis.pattern_subtypes import Subtypes
from dcam_dist.clustering import ClusterFit
from dcam_dist.cohort.image_file import write_nifti
from dcam_dist.cohort.spatial import resample, to_sitk
from dcam_dist.config import Config
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.runs.artefact import check_place, write_artefact
from dcam_dist.runs.artefact_files import ClusterArtefact
from dcam_dist.types import CaseRecord

PATTERNS, SUBTYPES, HISTOGRAMS = "patterns.csv", "subtypes.csv", "histograms.csv"
SUBTYPE_MODEL, QUALITY = "subtypes", "quality.json"
MAPS, MAP = "maps", "patterns.nii.gz"


def pattern_settings(config: Config) -> ClusteringConfig:
    """``clustering`` with the number of patterns in the place of the subtypes'."""
    return config.clustering.model_copy(update={"clusters": config.patterns.clusters})


def check_places(out: Path) -> None:
    """Refuse a folder in which something else is where the artefacts go.

    Raises:
        UsageError: Says which.
    """
    for name in (PATTERN_MODEL, SUBTYPE_MODEL):
        check_place(out / name)


def write_models(out: Path, fit: ClusterFit, subtypes: Subtypes, config: Config, source: Mapping[str, str]) -> None:
    """Write both clusterings as artefacts.

    Args:
        out: Exists.
        fit: The patterns.
        subtypes: Of the scans.
        config: What they were made with.
        source: Hashes that name the run.

    Raises:
        EnvironmentFault: When the disk gives back other bytes than were written.
        OSError: When it is full or refuses.
    """
    source = {**source, SUPERVOXEL: str(config.patterns.supervoxel)}
    patterns = _artefact(fit, pattern_settings(config), _rows_in_words(config), config.seed, source)
    write_artefact(out / PATTERN_MODEL, patterns)
    of_patterns = {**source, DIGEST: digest_of(fit.model)}
    of_scans = _artefact(subtypes.fit, config.clustering, SHARES, config.seed, of_patterns)
    write_artefact(out / SUBTYPE_MODEL, replace(of_scans, outliers=subtypes.outliers))


def write_tables(
    out: Path, cases: Sequence[CaseRecord], fit: ClusterFit, table: PatternTable, subtypes: Subtypes, train: int
) -> None:
    """Write the three tables.

    Args:
        out: Exists.
        cases: Of the table, in its order, the training scans first.
        fit: The patterns.
        table: What each scan's lungs consist of.
        subtypes: The scans' subtypes.
        train: Number of training scans.

    Raises:
        OSError: When the disk is full or refuses.
    """
    names = [f"pattern_{number}" for number in range(1, len(fit.size_K) + 1)]
    training = table.first(train)
    share_K = training.voxel_NK.sum(axis=0) / training.voxel_NK.sum()
    patterns = zip(range(1, len(names) + 1), fit.size_K, share_K, training.mean_hu, strict=True)
    histograms = zip(cases, table.voxel_NK.sum(axis=1), table.shares, strict=True)
    found = zip(cases, subtypes.label_N, subtypes.distance_NK.min(axis=1), strict=True)
    _write_csv(
        out / PATTERNS,
        ["pattern", "rows_clustered", "share_of_train_lungs", "mean_hu_in_window"],
        ([number, int(size), f"{share:.6f}", f"{hu:.1f}"] for number, size, share, hu in patterns),
    )
    _write_csv(
        out / HISTOGRAMS,
        ["case_id", "split", "lung_voxels", *names],
        ([case.case_id, case.split, int(n), *(f"{v:.6f}" for v in share)] for case, n, share in histograms),
    )
    _write_csv(
        out / SUBTYPES,
        ["case_id", "split", "subtype", "distance"],
        ([case.case_id, case.split, int(label) + 1, f"{away:.4f}"] for case, label, away in found),
    )


def write_quality(out: Path, quality: PatternQuality) -> None:
    """Write the scores of the patterns; what is undefined is null.

    Raises:
        OSError: When the disk is full or refuses.
    """
    tree = {name: value if math.isfinite(value) else None for name, value in quality.tree().items()}
    (out / QUALITY).write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def write_map(label_DHW: NDArray[np.uint8], case: CaseRecord, out: Path) -> Path:
    """Write the patterns of a case in its scan's space.

    Raises:
        EnvironmentFault: When the disk is full or refuses.
    """
    folder = out / MAPS / case.case_id
    folder.mkdir(parents=True, exist_ok=True)
    in_scan = resample(to_sitk(label_DHW, case.grid), case.scan, interpolation="nearest", outside=0)
    return write_nifti(in_scan, case.scan, folder / MAP)


def _artefact(
    fit: ClusterFit, settings: ClusteringConfig, rows: str, seed: int, source: Mapping[str, str]
) -> ClusterArtefact:
    return ClusterArtefact(
        model=fit.model,
        rows=rows,
        size_K=fit.size_K,
        inertia=fit.inertia,
        settings=settings,
        backend=fit.backend,
        seed=seed,
        source=source,
        created_by="cluster --features voxel",
    )


def _rows_in_words(config: Config) -> str:
    edge = config.patterns.supervoxel
    return "features of lung voxels" if edge == 1 else f"mean features of the lung voxels in cubes of {edge}³"


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(head)
        table.writerows(rows)
