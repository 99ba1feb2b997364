"""Maps as NIfTI files in the scan's own space and affine, with a JSON file that says what the values mean.

    RUN/maps/<case_id>/
      dcam-cluster-1.nii.gz …   float32 logits, 0 outside the lungs
      dcam-winner.nii.gz        uint8, 0 outside the lungs, else 1, 2 … for the cluster with the largest logit
      case.json                 cluster, logits, probabilities, distances

Clusters are numbered from 1 in every file; the grades of a supervised run from 0, as on their scale.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort.image_file import write_nifti
from dcam_dist.cohort.layout import write_json
from dcam_dist.maps.compute import Floats, MappedCase
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.scene import Scene
from dcam_dist.maps.spaces import labels_in, maps_in, winner_of

WINNER = "dcam-winner"
SIDECAR = "case.json"
VALUES = {
    "maps": "float32: the head on the features of each voxel, in logits; linear from the training grid, 0 outside the "
    "lungs. For the dcam method the mean over the lungs of the training grid is the scan's logit.",
    WINNER: "uint8: 0 outside the lungs, else 1 for the first of the files, 2 for the second …: the map largest there.",
}


def export_case(scene: Scene, folder: Path, names: ClassNames) -> list[Path]:
    """Write the maps of one case in its scan's space.

    Args:
        scene: The case.
        folder: Where the files go; exists.
        names: Names of the files.

    Returns:
        The files, class by class, then the winner and the JSON file.

    Raises:
        EnvironmentFault: When a file cannot be written.
    """
    space, lung_mask = scene.mapped.record.scan, lungs_in_scan(scene)
    files = [folder / f"{stem}.nii.gz" for stem in names.stems]

    def written() -> Iterator[Floats]:
        for file, logits in zip(files, maps_in(scene.mapped, space, lung_mask), strict=True):
            write_nifti(logits, space, file)
            yield logits

    winner = winner_of(written(), lung_mask)
    files.append(write_nifti(winner, space, folder / f"{WINNER}.nii.gz"))
    write_json(folder / SIDECAR, describe(scene.mapped, names))
    return [*files, folder / SIDECAR]


def lungs_in_scan(scene: Scene) -> NDArray[np.bool_]:
    """The lungs of a case in its scan's own space, bool."""
    record = scene.mapped.record
    return labels_in(scene.lungs_DHW, record.native, record.scan).astype(bool)


def describe(mapped: MappedCase, names: ClassNames) -> dict[str, Any]:
    """The JSON file beside the maps: the scan's class and how near the others were."""
    distances = mapped.distance_K
    return {
        "case_id": mapped.record.case_id,
        names.kind: mapped.class_id + names.first,
        f"{names.kind}_title": names.titles[mapped.class_id],
        f"{names.kind}_of_the_head": int(mapped.probability_K.argmax()) + names.first,
        "logits": _by_title(mapped.maps.logit_K, names),
        "probabilities": _by_title(mapped.probability_K, names),
        "distances_to_centroids": None if distances is None else _by_title(distances, names),
        "share_won": _by_title(_share_won(mapped), names),
        "files": {title: f"{stem}.nii.gz" for title, stem in zip(names.titles, names.stems, strict=True)},
        "values": VALUES,
    }


def _share_won(mapped: MappedCase) -> Floats:
    """Of the lungs on the training grid, the share in which each map is the largest, (K,)."""
    winner = mapped.maps.dense_KDHW[:, mapped.lung_mask_DHW].argmax(axis=0)
    return (np.bincount(winner, minlength=len(mapped.maps.logit_K)) / max(1, len(winner))).astype(np.float32)


def _by_title(values_K: Floats, names: ClassNames) -> dict[str, float]:
    return dict(zip(names.titles, map(float, values_K), strict=True))
