"""The winning classes as label images inside the cohort, where viewers of OME-Zarr open them beside the lungs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcam_dist import __version__
from dcam_dist.cohort import Cohort
from dcam_dist.cohort.derived import DerivedLabel, put_label
from dcam_dist.errors import EnvironmentFault
from dcam_dist.ingest.lock import only_writer
from dcam_dist.ingest.one_case import private_umask
from dcam_dist.maps import style
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.scene import Scene
from dcam_dist.maps.spaces import maps_in, winner_of


@contextmanager
def cohort_for_labels(cohort: Cohort) -> Iterator[None]:
    """Be the only one who writes into a cohort.

    Raises:
        EnvironmentFault: When it is read-only, or an ingest is writing it.
    """
    home = cohort.path.resolve()
    if not os.access(home, os.W_OK) or not os.access(home.parent, os.W_OK):
        raise EnvironmentFault(
            f"{cohort.path}: cannot be written, so no labels go into it; copy it, and name the copy with --cohort"
        )
    with private_umask(), only_writer(home):
        yield


def add_winner(scene: Scene, cohort: Cohort, names: ClassNames, *, method: str, run_sha256: str) -> Path:
    """Write the winning class of each voxel as a label of the case, on both levels; inside ``cohort_for_labels``.

    The label is ``winner-<method>-<first 8 of the run's hash>``: another run's is another label, the same run's
    is replaced.

    Args:
        scene: The case.
        cohort: Holds it.
        names: Titles of the classes.
        method: Of the run.
        run_sha256: The run's hash, hex.

    Returns:
        The label's folder.

    Raises:
        DataError: When the case's list of labels is damaged.
        EnvironmentFault: When the disk refuses.
    """
    label = winner_label(scene, names, method=method, run_sha256=run_sha256)
    try:
        return put_label(cohort.path.resolve(), scene.mapped.record, label)
    except OSError as error:
        case_id = scene.mapped.record.case_id
        raise EnvironmentFault(f"{cohort.path}: case {case_id}: no label written ({error.strerror})") from None


def winner_label(scene: Scene, names: ClassNames, *, method: str, run_sha256: str) -> DerivedLabel:
    """The winning classes on the stored crop and on the training grid; 1 is the first class, 0 outside the lungs."""
    mapped = scene.mapped
    colours = (style.winner_colours(len(names.titles)) * 255).round().astype(int).tolist()
    return DerivedLabel(
        name=f"winner-{method}-{run_sha256[:8]}",
        native_DHW=winner_of(maps_in(mapped, mapped.record.native, scene.lungs_DHW), scene.lungs_DHW),
        grid_DHW=winner_of(iter(mapped.maps.dense_KDHW), mapped.lung_mask_DHW),
        values=tuple((title, tuple(rgba)) for title, rgba in zip(names.titles, colours, strict=True)),
        about={"made_by": f"dcam_dist {__version__}", "method": method, "run_sha256": run_sha256},
    )
