"""A CT series as one enhanced multi-frame file, for tests to break in one way each."""

from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

_COMMON = (
    *("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "Modality", "ImageType"),
    *("Manufacturer", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)


def enhanced_ct(slices: list[Dataset], sop_class: str = EnhancedCTImageStorage) -> Dataset:
    """The slices as the frames of one object: places per frame, the rest shared."""
    first = slices[0]
    whole = Dataset()
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = sop_class
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for name in _COMMON:
        setattr(whole, name, first[name].value)
    whole.NumberOfFrames = len(slices)
    whole.SharedFunctionalGroupsSequence = Sequence([_shared(first)])
    whole.PerFrameFunctionalGroupsSequence = Sequence([_frame(dataset) for dataset in slices])
    whole.PixelData = b"".join(dataset.PixelData for dataset in slices)
    return whole


def write_enhanced(folder: Path, whole: Dataset, name: str = "enhanced.dcm") -> Path:
    """Write the object as the one file of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    dcmwrite(folder / name, whole, enforce_file_format=True)
    return folder


def group(**values: object) -> Sequence:
    """One functional group: a sequence of one item."""
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return Sequence([item])


def _shared(first: Dataset) -> Dataset:
    shared = Dataset()
    shared.CTImageFrameTypeSequence = group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    shared.PixelMeasuresSequence = group(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=first.ImageOrientationPatient)
    shared.CTReconstructionSequence = group(ConvolutionKernel=first.ConvolutionKernel)
    shared.CTXRayDetailsSequence = group(KVP=float(first.KVP))
    return shared


def _frame(dataset: Dataset) -> Dataset:
    frame = Dataset()
    frame.PlanePositionSequence = group(ImagePositionPatient=dataset.ImagePositionPatient)
    frame.PixelValueTransformationSequence = group(
        RescaleSlope=dataset.RescaleSlope, RescaleIntercept=dataset.RescaleIntercept, RescaleType="HU"
    )
    return frame
