"""Maps of the chests with a planted lesion, and their exports."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcam_dist.cohort import Cohort
from dcam_dist.maps import ActivationMaps, MappedCase, Scene, dicom, export_case, open_scene
from dcam_dist.maps.cohort_labels import add_winner
from dcam_dist.maps.naming import ClassNames
from dcam_dist.types import CaseRecord

NAMES = ClassNames(
    "cluster", ("cluster 1", "cluster 2", "cluster 3"), ("dcam-cluster-1", "dcam-cluster-2", "dcam-cluster-3"), 1
)
RUN = "ab12cd34" * 8


@dataclass(frozen=True)
class Planted:
    """The scans' folder and the cohort made from them."""

    scans: Path
    cohort: Cohort


@dataclass(frozen=True)
class Exported:
    """One case in every format."""

    folder: Path
    label: Path
    record: CaseRecord

    @property
    def voxel_mm(self) -> float:
        """The longest edge of a voxel of the training grid."""
        return max(self.record.grid.spacing_mm)


def dark_scene(cohort: Cohort, case_id: str) -> Scene:
    """Three maps on the training grid, the third by the density that ingest stored there."""
    hu, lungs = cohort.read(case_id)
    dense_KDHW = np.stack([np.full(hu.shape, 0.0), np.full(hu.shape, -5.0), (-900.0 - hu) / 50]).astype(np.float32)
    maps = ActivationMaps(dense_KDHW, dense_KDHW[:, lungs].mean(axis=1), np.zeros(8, np.float32))
    mapped = MappedCase(cohort.case(case_id), maps, lungs, 0, np.array([0.5, 0.2, 0.3], np.float32), None)
    return open_scene(mapped, cohort)


def write_objects(planted: Planted, case_id: str, source: Path, folder: Path, run: str = RUN) -> list[Path]:
    """The DICOM objects of a case, whose slices are in ``source``."""
    scene = dark_scene(planted.cohort, case_id)
    sides_DHW = planted.cohort.lung_mask(case_id, "0").compute()
    series = dicom.find_series(source, scene.mapped.record)
    return dicom.write_dicom(scene.mapped, sides_DHW, series, folder, NAMES, run_sha256=run)


def export(planted: Planted, case_id: str) -> Exported:
    """Everything of a case; the source is the folder of all scans."""
    scene, folder = dark_scene(planted.cohort, case_id), planted.scans / "maps" / case_id
    folder.mkdir(parents=True)
    export_case(scene, folder, NAMES)
    write_objects(planted, case_id, planted.scans, folder)
    label = add_winner(scene, planted.cohort, NAMES, method="dcam", run_sha256=RUN)
    return Exported(folder, label, scene.mapped.record)
