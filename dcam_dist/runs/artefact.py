"""A clustering kept by itself: everything that assigns new rows to its clusters, and where it comes from.

    ARTEFACT/
      model.safetensors   scaler, axes, centroids, sizes of the clusters, id matching, the outlier rule
      artefact.json       flags, settings, seed, backend, source, versions
      MANIFEST.json       SHA-256 of both, written last

It holds no case, no id and no path. ``artefact_files`` has every field.
"""

from pathlib import Path

import numpy as np

from dcam_dist.clustering.outliers import outlier_rule
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.runs.artefact_files import ABOUT, LUNG_ROWS, MODEL, ClusterArtefact, from_files, to_files
from dcam_dist.runs.checkpoint_files import fingerprint
from dcam_dist.runs.places import MANIFEST
from dcam_dist.runs.restore import RestoredRun
from dcam_dist.runs.sealed import read_sealed, write_sealed, written_whole

TABLE = "clusters.csv"
"""Beside it: the cases that it was made of."""
MOST_BYTES = 1 << 30
"""Of the files of an artefact; 1000 axes of 65,536 channels are a quarter of it."""


def write_artefact(folder: Path, artefact: ClusterArtefact) -> None:
    """Write an artefact; it exists whole or not at all. An earlier one in its place is replaced, the whole folder.

    Raises:
        UsageError: When something else is there.
        DataError: When it is none that can be read.
        EnvironmentFault: When the disk gives back other bytes than were written.
        OSError: When it cannot be written.
    """
    check_place(folder)
    with written_whole(folder.resolve()) as side:
        write_sealed(side, to_files(artefact))
        _read_back(side, folder)


def check_place(folder: Path) -> None:
    """Refuse a place whose content would be lost: anything but an artefact alone or an empty folder.

    Raises:
        UsageError: Says what is there.
    """
    if not folder.exists():
        return
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if found and ABOUT not in found:
        raise UsageError(f"{folder}: exists and is no clustering; choose another --out")
    if more := found - {MODEL, ABOUT, MANIFEST, TABLE, f".{TABLE}"}:  # the last is what a failed write leaves
        raise UsageError(f"{folder}: beside a clustering it holds {min(more)}, which would be lost; move it away")


def read_artefact(folder: Path) -> ClusterArtefact:
    """Read an artefact after verifying every byte of it; it may come from anywhere.

    Raises:
        UsageError: When there is none.
        DataError: When it is damaged or something else.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    if not (folder / ABOUT).is_file():
        raise UsageError(f"{folder}: no clustering here; make one with: dcam-dist cluster SOURCE --out {folder}")
    try:
        return from_files(read_sealed(folder, most_bytes=MOST_BYTES))
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None
    except EnvironmentFault as error:
        raise EnvironmentFault(f"{folder}: {error}") from None


def artefact_of_run(run: RestoredRun) -> ClusterArtefact:
    """The closing clustering of a finished run, by the ids that its head, maps and tables use.

    Raises:
        UsageError: When it is a supervised run.
        DataError: When its closing checkpoint holds no features.
    """
    model, features, settings = run.checkpoint.clustering, run.checkpoint.in_hand.features, run.config.clustering
    if model is None:
        raise UsageError(f"{run.path}: a supervised run has no clusters; name a run of another method")
    if features is None:
        raise DataError(f"{run.path}: its closing checkpoint holds no features")
    outliers, _ = outlier_rule(features.features_NC, model)
    return ClusterArtefact(
        model=model,
        rows=LUNG_ROWS,
        size_K=np.bincount(run.assignment.label_N[run.assignment.label_N >= 0], minlength=len(model.centroid_KP)),
        inertia=run.assignment.inertia,
        settings=settings,
        backend=settings.backend,
        seed=run.config.seed,
        source=source_of_run(run),
        created_by="train",
        outliers=outliers,
    )


def source_of_run(run: RestoredRun) -> dict[str, str]:
    """What names a run without saying where it is: a hash of its weights and clusters."""
    return {"kind": "run", "run_sha256": fingerprint(run.checkpoint)}


def _read_back(side: Path, folder: Path) -> None:
    try:
        files = read_sealed(side, most_bytes=MOST_BYTES)
    except DataError as error:
        raise EnvironmentFault(f"{folder}: the disk gives back other bytes than were written ({error})") from None
    try:
        from_files(files)
    except DataError as error:
        raise DataError(f"{folder}: this clustering cannot be saved ({error})") from None
