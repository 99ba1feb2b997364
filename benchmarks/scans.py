"""The scans that are measured on: real CT where it lies beside the project, else a generated one, which is said."""

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.harness import Options
from dcam_dist.cohort import CohortDescription, VolumeLevels, close_cohort, create_cohort, open_cohort, write_case
from dcam_dist.cohort.spatial import from_sitk, to_sitk
from dcam_dist.cohort.store import Cohort
from dcam_dist.config import Config
from dcam_dist.ingest.scan import clean_hu
from dcam_dist.phantom import write_phantom_cohort
from dcam_dist.types import UNASSIGNED, CaseRecord, Geometry

DATA = Path(__file__).parents[2] / "shared" / "data"
LIDC = ("LIDC-IDRI-0001_dicom.tar.xz", "dicom_0001")
LUNG_DX_SHARP = ("Lung_Dx-A0001_two_kernels_dicom.tar.xz", "A0001_5mm_kernelL")
CASE = "scan"
GENERATED = "a generated scan (the real one is absent)"


@dataclass(frozen=True, eq=False)
class WholeScan:
    """A scan uncropped, in HU.

    Attributes:
        hu_DHW: int16, padding turned to air.
        geometry: Of it.
        origin: What it is, in words.
    """

    hu_DHW: NDArray[np.int16]
    geometry: Geometry
    origin: str


def dicom_folder(options: Options, archive: tuple[str, str] = LIDC) -> tuple[Path, str]:
    """A folder with the slices of one series and nothing else, and what it is.

    Args:
        options: Names a folder, or leaves the choice open; ``cpu-smoke`` takes a small generated scan.
        archive: The archive beside the project and the folder in it.
    """
    folder = options.scratch / f"dicom-{archive[1]}"
    if options.dicom is not None:
        return options.dicom, "the given DICOM series"
    if options.smoke or not (DATA / archive[0]).is_file():
        matrix = 96 if options.smoke else 512
        table = write_phantom_cohort(folder, cases=1, seed=options.seed, matrix=matrix)
        return table.parent / "phantom-0001" / "ct", "a generated scan" if options.smoke else GENERATED
    folder.mkdir()
    with tarfile.open(DATA / archive[0]) as packed:
        for member in packed:
            if member.isfile() and Path(member.name).match(f"{archive[1]}/*.dcm"):
                with (folder / Path(member.name).name).open("wb") as out:
                    shutil.copyfileobj(packed.extractfile(member), out)  # type: ignore[arg-type]
    return folder, archive[0].removesuffix("_dicom.tar.xz")


def whole_scan(options: Options, archive: tuple[str, str] = LIDC) -> WholeScan:
    """The series as one volume, read as SimpleITK's users do."""
    folder, origin = dicom_folder(options, archive)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    stored, geometry = from_sitk(reader.Execute())
    return WholeScan(clean_hu(stored), geometry, origin)


def write_nifti(scan: WholeScan, path: Path) -> Path:
    """The scan as int16 ``.nii.gz``, compressed as SimpleITK does unless told otherwise."""
    sitk.WriteImage(to_sitk(scan.hu_DHW, scan.geometry), str(path), useCompression=True)
    return path


def write_cohort(scan: WholeScan, path: Path) -> Cohort:
    """A cohort of one case whose native level is the whole scan; the grid is a corner of it, and not measured."""
    config = Config()
    create_cohort(path, CohortDescription(config.grid, config.labels.names))
    corner = tuple(min(32, size) for size in scan.hu_DHW.shape)
    grid_hu = scan.hu_DHW[: corner[0], : corner[1], : corner[2]]
    stand_in = scan.hu_DHW < -500  # any mask will do
    record = CaseRecord(
        case_id=CASE,
        patient_key=CASE,
        split="train",
        label=UNASSIGNED,
        scan=scan.geometry,
        native=scan.geometry,
        grid=Geometry(grid_hu.shape, scan.geometry.affine),
    )
    write_case(path, record, VolumeLevels(scan.hu_DHW, stand_in, grid_hu, np.ones_like(grid_hu, dtype=np.uint8)))
    close_cohort(path, [record], [])
    return open_cohort(path)
