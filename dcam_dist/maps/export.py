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
from dcam_dist.cohort.spatial import resample, to_sitk
from dcam_dist.maps.compute import Floats, MappedCase
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.scene import Scene

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
    best = np.full(space.shape, -np.inf, dtype=np.float32)
    winner = np.zeros(space.shape, dtype=np.uint8)
    files = []
    for number, logits in enumerate(maps_in_scan(scene.mapped, lung_mask), start=1):
        files.append(write_nifti(logits, space, folder / f"{names.stems[number - 1]}.nii.gz"))
        ahead = lung_mask & (logits > best)
        best[ahead], winner[ahead] = logits[ahead], number
    files.append(write_nifti(winner, space, folder / f"{WINNER}.nii.gz"))
    write_json(folder / SIDECAR, describe(scene.mapped, names))
    return [*files, folder / SIDECAR]


def lungs_in_scan(scene: Scene) -> NDArray[np.bool_]:
    """The lungs of a case in its scan's own space, bool."""
    record = scene.mapped.record
    lungs = resample(to_sitk(scene.lungs_DHW, record.native), record.scan, interpolation="nearest", outside=0)
    return lungs.astype(bool)


def maps_in_scan(mapped: MappedCase, lung_mask_DHW: NDArray[np.bool_]) -> Iterator[Floats]:
    """The dCAMs of a case, one after the other, in the space of its scan; 0 outside the lungs."""
    for dense_DHW in mapped.maps.dense_KDHW:
        image = to_sitk(dense_DHW, mapped.record.grid)
        logits: Floats = resample(image, mapped.record.scan, interpolation="linear", outside=0)
        logits[~lung_mask_DHW] = 0
        yield logits


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
        "files": {title: f"{stem}.nii.gz" for title, stem in zip(names.titles, names.stems, strict=True)},
        "values": VALUES,
    }


def _by_title(values_K: Floats, names: ClassNames) -> dict[str, float]:
    return dict(zip(names.titles, map(float, values_K), strict=True))
