"""Tiny chest-like CTs, as DICOM series and as arrays, for tests to break in one way each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dcam_dist.cohort.spatial import to_sitk
from dcam_dist.types import Geometry

SHAPE = (14, 24, 28)
SPACING_MM = (3.0, 2.0, 2.0)
Edit = Callable[[list[Dataset]], Any]


def chest_hu(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    """Air around a box of tissue with two boxes of lung, and a little noise."""
    _, height, width = shape
    hu = np.full(shape, -1000, np.int16)
    hu[:, height // 8 : -(height // 8), width // 8 : -(width // 8)] = 40
    hu += np.random.default_rng(seed).integers(-15, 16, shape).astype(np.int16)
    hu[lung_box(shape)] -= 900
    return hu


def lung_box(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Where ``chest_hu`` has its lungs."""
    _, height, width = shape
    mask = np.zeros(shape, bool)
    for left in (width // 4, width // 2 + 1):
        mask[2:-2, height // 4 : -(height // 4), left : left + width // 5] = True
    return mask


def geometry(
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
    cosines: np.ndarray | None = None,
    origin: tuple[float, float, float] = (-20.0, 35.0, -300.0),
) -> Geometry:
    """A geometry; the columns of ``cosines`` are the directions of x, y and z."""
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if cosines is None else cosines) * np.asarray(spacing_mm[::-1])
    matrix[:3, 3] = origin
    return Geometry.from_matrix(shape, matrix)


def write_image(path: Path, values: np.ndarray, where: Geometry | None = None, *, compressed: bool = True) -> Path:
    """Write an array in any format of SimpleITK."""
    sitk.WriteImage(to_sitk(values, where or geometry(values.shape)), str(path), useCompression=compressed)
    return path


def series(
    hu_DHW: np.ndarray | None = None, where: Geometry | None = None, *, patient: str = "P1", uid: str | None = None
) -> list[Dataset]:
    """A valid CT series, one dataset a slice."""
    hu = chest_hu() if hu_DHW is None else hu_DHW
    space = where or geometry(hu.shape)
    uid, study = uid or generate_uid(), generate_uid()
    frame = generate_uid()
    return [
        _slice(hu, space, z, {"uid": uid, "study": study, "frame": frame, "patient": patient}) for z in range(len(hu))
    ]


def write_series(folder: Path, slices: list[Dataset], *, prefix: str = "IM") -> Path:
    """Write slices under names in no order of theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(slices):
        dcmwrite(folder / f"{prefix}{(number * 7919) % 10007:05d}.dcm", dataset, enforce_file_format=True)
    return folder


def _slice(hu_DHW: np.ndarray, where: Geometry, z: int, about: dict[str, str]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = about["uid"], about["study"]
    dataset.FrameOfReferenceUID, dataset.PatientID = about["frame"], about["patient"]
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName = "Canary^Jörg"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.Manufacturer, dataset.ConvolutionKernel, dataset.KVP = "SIEMENS", "B30f", "120"
    dataset.SliceThickness = f"{where.spacing_mm[0]:g}"
    dataset.InstanceNumber = z + 1
    matrix = where.matrix
    dataset.ImagePositionPatient = [f"{value:.6g}" for value in (matrix @ (0, 0, z, 1))[:3]]
    axes = matrix[:3, :2] / np.linalg.norm(matrix[:3, :2], axis=0)
    dataset.ImageOrientationPatient = [f"{value:.9g}" for value in axes.T.ravel()]
    dataset.PixelSpacing = [f"{where.spacing_mm[1]:g}", f"{where.spacing_mm[2]:g}"]
    dataset.Rows, dataset.Columns = hu_DHW.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    dataset.PixelData = (hu_DHW[z].astype(np.int32) + 1024).astype("<u2").tobytes()
    return dataset
