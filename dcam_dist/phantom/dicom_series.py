"""A phantom as a real DICOM series: one CT Image Storage object a slice."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dcam_dist.phantom.case import PhantomCase

RESCALE_INTERCEPT = -1024
# The UUID-derived root, so that no organization's registered root is claimed.
UID_ROOT = "2.25."


def write_dicom_series(case: PhantomCase, folder: Path, *, case_key: str, patient_id: str) -> None:
    """Write a case as a folder of slices whose names are not in slice order.

    Args:
        case: The case.
        folder: Made by this function.
        case_key: Decides every UID, and the order of the file names.
        patient_id: Pseudonymous.
    """
    folder.mkdir(parents=True)
    slices = case.hu.shape[0]
    order = np.random.default_rng(list(case_key.encode())).permutation(slices)
    stored = (case.hu.astype(np.int32) - RESCALE_INTERCEPT).astype("<u2")
    header = _series_header(case, case_key, patient_id)
    for number, name in enumerate(order.tolist()):
        _slice_header(header, case, case_key, number)
        header.PixelData = stored[number].tobytes()
        dcmwrite(folder / f"IM{name + 1:04d}.dcm", header, enforce_file_format=True)


def _uid(*parts: str) -> str:
    return str(generate_uid(prefix=UID_ROOT, entropy_srcs=["dcam_dist phantom", *parts]))


def _series_header(case: PhantomCase, case_key: str, patient_id: str) -> Dataset:
    """What all slices share."""
    dataset = Dataset()
    _set(dataset, _identity(case_key, patient_id))
    _set(dataset, _scanner(case))
    _set(dataset, _pixels(case.hu))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset


def _set(dataset: Dataset, values: dict[str, object]) -> None:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def _identity(case_key: str, patient_id: str) -> dict[str, object]:
    """Who and what: no name, no dates, no times."""
    blank = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID")
    return {
        **dict.fromkeys((*blank, "ReferringPhysicianName", "PositionReferenceIndicator"), ""),
        "SOPClassUID": CTImageStorage,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Modality": "CT",
        "PatientID": patient_id,
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "Generated: shows no person",
        "StudyInstanceUID": _uid(case_key, "study"),
        "SeriesInstanceUID": _uid(case_key, "series"),
        "FrameOfReferenceUID": _uid(case_key, "frame of reference"),
        "SeriesNumber": 2,
        "AcquisitionNumber": 1,
        "StudyDescription": "Chest CT phantom",
        "SeriesDescription": "Chest, inspiration",
        "BodyPartExamined": "CHEST",
        "PatientPosition": "HFS",
    }


def _scanner(case: PhantomCase) -> dict[str, object]:
    protocol = case.protocol
    thickness, row, column = protocol.spacing_mm
    return {
        "Manufacturer": protocol.manufacturer,
        "ManufacturerModelName": "dcam_dist phantom",
        "ConvolutionKernel": protocol.kernel,
        "KVP": protocol.kvp,
        "SliceThickness": thickness,
        "SpacingBetweenSlices": thickness,
        "PixelSpacing": [row, column],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "RescaleIntercept": RESCALE_INTERCEPT,
        "RescaleSlope": 1,
        "RescaleType": "HU",
        "WindowCenter": -600,
        "WindowWidth": 1500,
    }


def _pixels(hu: NDArray[np.int16]) -> dict[str, object]:
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": hu.shape[1],
        "Columns": hu.shape[2],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }


def _slice_header(dataset: Dataset, case: PhantomCase, case_key: str, number: int) -> None:
    """Set what belongs to one slice, counted from the feet."""
    x, y, z = case.protocol.origin_mm
    height = round(z + number * case.protocol.spacing_mm[0], 2)
    dataset.SOPInstanceUID = _uid(case_key, "slice", str(number))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = case.hu.shape[0] - number  # scanners count from the head
    dataset.ImagePositionPatient = [x, y, height]
    dataset.SliceLocation = height
