"""A trained model that leaves its run: weights, clusters, settings, and what it was trained on.

    BUNDLE/
      model.safetensors   weights, clustering, outlier rule
      bundle.json         settings, summary of the training cases, versions
      MODEL_CARD.md       the same for people, with scores and limits
      MANIFEST.json       SHA-256 of the three, written last

It holds no case, no id and no path, and the same run gives the same bytes. ``bundle_files`` has every field.
"""

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from dcam_dist.cohort import Cohort
from dcam_dist.cohort.plain import open_plain
from dcam_dist.config import Config
from dcam_dist.config.loading import first_problem
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.models import build_network
from dcam_dist.runs.artefact import artefact_of_run
from dcam_dist.runs.bundle_files import ABOUT, CARD, MODEL, Bundle, from_files, is_about, to_files
from dcam_dist.runs.bundle_schema import BundleSettings
from dcam_dist.runs.checkpoint_files import fingerprint
from dcam_dist.runs.places import MANIFEST
from dcam_dist.runs.provenance import versions
from dcam_dist.runs.restore import RestoredRun
from dcam_dist.runs.sealed import read_sealed, write_sealed, written_whole
from dcam_dist.runs.trained_model import TrainedModel
from dcam_dist.runs.trained_on import summarize
from dcam_dist.types import UNASSIGNED

MOST_BYTES = {MODEL: 2 << 30, ABOUT: 1 << 20, CARD: 1 << 20, MANIFEST: 1 << 16}
"""Of each file; 32 filters, the paper's network, are 77 MB."""


def bundle_of_run(run: RestoredRun, cohort: Cohort | None) -> Bundle:
    """What a finished run leaves to be applied.

    Args:
        run: The run.
        cohort: Holds its training cases; ``None``: not at hand, so the bundle says nothing about them.

    Raises:
        DataError: When its closing checkpoint holds no features.
        UsageError: When the cohort lacks a training case, or the run's settings are such that no bundle may have.
    """
    clustered, checkpoint = run.checkpoint.clustering is not None, run.checkpoint
    config = _settings_of(run).config()
    network = build_network(config)
    network.load_state_dict(run.network.state_dict())
    label_N = run.assignment.label_N
    known = {case_id: label for case_id, label in run.assignment.by_case().items() if label != UNASSIGNED}
    return Bundle(
        model=TrainedModel(config, network.eval(), checkpoint.clustering),
        size_K=np.bincount(label_N[label_N != UNASSIGNED], minlength=config.classes),
        outliers=artefact_of_run(run).outliers if clustered else None,
        trained_on=None if cohort is None else summarize(cohort, known),
        epochs=checkpoint.epoch,
        run_sha256=fingerprint(checkpoint),
        versions=versions(),
    )


def _settings_of(run: RestoredRun) -> BundleSettings:
    try:
        return BundleSettings.of(run.config)
    except ValidationError as error:
        raise UsageError(
            f"{run.path}: its settings are not those of a model that goes to new scans ({first_problem(error, Config)})"
        ) from None


def write_bundle(folder: Path, bundle: Bundle, card: str) -> None:
    """Write a bundle; it exists whole or not at all. An earlier one in its place is replaced.

    Args:
        folder: A new one, an empty one, or an earlier bundle.
        bundle: What is written.
        card: The text of ``MODEL_CARD.md``.

    Raises:
        UsageError: When something else is there.
        DataError: When it could not be read again.
        EnvironmentFault: When the disk gives back other bytes than were written.
        OSError: When it cannot be written.
    """
    check_bundle_place(folder)
    files = dict(to_files(bundle, card))
    from_files(files)
    with written_whole(folder.resolve()) as side:
        write_sealed(side, files.items())
        if _read(side) != files:
            raise EnvironmentFault(f"{folder}: the disk gives back other bytes than were written")


def check_bundle_place(folder: Path) -> None:
    """Refuse a place whose content would be lost: anything but a bundle alone or an empty folder.

    Raises:
        UsageError: Says what is there.
    """
    if not folder.exists():
        return
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if found and not (MANIFEST in found and is_about(_start_of(folder / ABOUT))):
        raise UsageError(f"{folder}: exists and is no bundle; choose another --out")
    if more := found - MOST_BYTES.keys():
        raise UsageError(f"{folder}: beside a bundle it holds {min(more)}, which would be lost; move it away")


def _start_of(file: Path) -> bytes:
    try:
        with open_plain(file) as stream:
            return stream.read(MOST_BYTES[ABOUT])
    except OSError:
        return b""


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle after verifying every byte of it; it may come from anywhere.

    Raises:
        UsageError: When there is none.
        DataError: When it is damaged or something else.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    if not (folder / ABOUT).is_file():
        raise UsageError(f"{folder}: no run and no bundle here; make a bundle with: dcam-dist export RUN --out BUNDLE")
    try:
        return from_files(_read(folder))
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None
    except EnvironmentFault as error:
        raise EnvironmentFault(f"{folder}: {error}") from None


def _read(folder: Path) -> dict[str, bytes]:
    for name, most in MOST_BYTES.items():
        try:
            size = (folder / name).lstat().st_size
        except OSError:
            raise DataError(f"{name} is missing") from None
        if size > most:
            raise DataError(f"{name} is larger than it can be ({size} bytes)")
    if more := {path.name for path in folder.iterdir()} - MOST_BYTES.keys():
        raise DataError(f"{min(more)!r:.100} does not belong to a bundle; move it away")
    return read_sealed(folder, most_bytes=sum(MOST_BYTES.values()), names=MOST_BYTES.keys() - {MANIFEST})
