"""A valid CT chest series broken in one way each, with the one reason code that is right for it."""

import copy
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)
from support.ct_files import SPACING_MM, Edit, chest_hu, geometry, series, write_series

from dcam_dist.errors import Reason

Make = Callable[[Path], object]
GIANT = 32767


def each(slices: list[Dataset], **values: object) -> None:
    """Set values on every slice, valid or not."""
    with warnings.catch_warnings(action="ignore"):
        for dataset in slices:
            for name, value in values.items():
                setattr(dataset, name, value)


def drop(slices: list[Dataset], name: str) -> None:
    """Delete an element of every slice."""
    for dataset in slices:
        delattr(dataset, name)


def shift(slices: list[Dataset], offset_mm_of: Callable[[int], object]) -> None:
    """Move every slice by an offset of its own."""
    for number, dataset in enumerate(slices):
        moved = np.asarray(dataset.ImagePositionPatient, float) + np.asarray(offset_mm_of(number))
        dataset.ImagePositionPatient = [f"{value:.6g}" for value in moved]


def tilt(slices: list[Dataset], degrees: float = 7.0) -> None:
    """Lean the stack as a tilted gantry does."""
    shift(slices, lambda z: (0, np.tan(np.radians(degrees)) * z * SPACING_MM[0], 0))


def compress(slices: list[Dataset]) -> None:
    """Store the pixels run-length encoded."""
    for dataset in slices:
        dataset.compress(RLELossless, generate_instance_uid=False)


def edited(edit: Edit) -> Make:
    """A maker of the valid series after one edit."""

    def make(folder: Path) -> None:
        slices = series()
        edit(slices)
        write_series(folder, slices)

    return make


def cut(folder: Path, nbytes: int, edit: Edit = lambda slices: None) -> None:
    """The valid series with one file cut short."""
    edited(edit)(folder)
    victim = sorted(folder.iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-nbytes])


def giant(folder: Path) -> None:
    """Files that are as large as their headers say, but hold nothing."""
    slices = series()
    each(slices, Rows=GIANT, Columns=GIANT, PixelData=b"")
    write_series(folder, slices)
    mark, nbytes = b"\xe0\x7f\x10\x00OW\0\0", 2 * GIANT * GIANT
    for path in folder.iterdir():
        content = path.read_bytes()
        start = content.index(mark) + len(mark)
        path.write_bytes(content[:start] + struct.pack("<L", nbytes))
        with path.open("r+b") as stream:
            stream.truncate(start + 4 + nbytes)


def _double(slices: list[Dataset]) -> None:
    slices.append(copy.deepcopy(slices[4]))
    slices[-1].SOPInstanceUID = slices[-1].file_meta.MediaStorageSOPInstanceUID = generate_uid()


def _one_name_twice(slices: list[Dataset]) -> None:
    slices[4].SOPInstanceUID = slices[4].file_meta.MediaStorageSOPInstanceUID = slices[3].SOPInstanceUID


def _copy_of_a_file(folder: Path) -> None:
    write_series(folder, series())
    victim = sorted(folder.iterdir())[3]
    (folder / "copy.dcm").write_bytes(victim.read_bytes())


def _of_class(uid: str) -> Edit:
    def edit(slices: list[Dataset]) -> None:
        for dataset in slices:
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid

    return edit


def _colour(slices: list[Dataset]) -> None:
    each(slices, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    for dataset in slices:
        dataset.PixelData = dataset.PixelData * 3


def _floating_point(slices: list[Dataset]) -> None:
    for dataset in slices:
        dataset.FloatPixelData, dataset.BitsAllocated = np.zeros(24 * 28, "<f4").tobytes(), 32
        del dataset.PixelData


def _frames_without_places(slices: list[Dataset]) -> None:
    each(slices, NumberOfFrames="2")
    for dataset in slices:
        dataset.PixelData = dataset.PixelData * 2


def _padded_and_too_dense(slices: list[Dataset]) -> None:
    """An intercept that is 1024 too high, and padding of −2000 outside the field of view."""
    for dataset in slices:
        stored = np.frombuffer(dataset.PixelData, "<u2").reshape(24, 28).astype("<i2")
        stored[:, :5] = -2000
        dataset.PixelData, dataset.PixelRepresentation, dataset.RescaleIntercept = stored.tobytes(), 1, "0"


def _crowd(folder: Path) -> None:
    """One file with more private elements than any scanner writes."""
    write_series(folder, series())
    victim = sorted(folder.iterdir())[3]
    content, mark = victim.read_bytes(), b"\xe0\x7f\x10\x00OW"
    victim.write_bytes(content.replace(mark, struct.pack("<HH2sH", 0x5555, 0x1001, b"LO", 0) * 700_000 + mark))


def _heavy(folder: Path) -> None:
    """One file with more bytes before its pixels than any header has."""
    write_series(folder, series())
    victim = sorted(folder.iterdir())[3]
    content, mark = victim.read_bytes(), b"\xe0\x7f\x10\x00OW"
    ballast = struct.pack("<HH2sHL", 0x5555, 0x1001, b"OB", 0, 17 << 20) + bytes(17 << 20)
    victim.write_bytes(content.replace(mark, ballast + mark))


def _garbage(slices: list[Dataset]) -> None:
    compress(slices)
    slices[5].PixelData = encapsulate([b"\xff" * 400])


def _small(matrix: int) -> Make:
    shape = (14, matrix, matrix)
    return lambda folder: write_series(folder, series(chest_hu(shape), geometry(shape)))


def _junk_file(folder: Path) -> None:
    write_series(folder, series())
    (folder / "junk.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"junk" * 100)


FAULTS: dict[str, tuple[Reason, Make]] = {
    "MR": (Reason.WRONG_MODALITY, edited(lambda s: each(s, Modality="MR"))),
    "MR by class": (Reason.WRONG_MODALITY, edited(_of_class(MRImageStorage))),
    "segmentation": (Reason.WRONG_MODALITY, edited(_of_class(SegmentationStorage))),
    "localizer": (Reason.LOCALIZER, edited(lambda s: each(s, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))),
    "RGB": (Reason.COLOUR, edited(_colour)),
    "palette": (Reason.COLOUR, edited(lambda s: each(s, PhotometricInterpretation="PALETTE COLOR"))),
    "secondary capture": (Reason.SECONDARY_CAPTURE, edited(_of_class(SecondaryCaptureImageStorage))),
    "screen save": (Reason.SECONDARY_CAPTURE, edited(lambda s: each(s, ImageType=["DERIVED", "X", "SCREEN SAVE"]))),
    "burned in": (Reason.BURNED_IN, edited(lambda s: each(s, BurnedInAnnotation="YES"))),
    "frames without places": (Reason.ENHANCED_MULTIFRAME, edited(_frames_without_places)),
    "two patients": (Reason.MIXED_SERIES, edited(lambda s: each(s[7:], PatientID="P2"))),
    "two studies": (Reason.MIXED_SERIES, edited(lambda s: each(s[7:], StudyInstanceUID="2.25.8"))),
    "two tube voltages": (Reason.MIXED_SERIES, edited(lambda s: each(s[::2], KVP="80"))),
    "two scanners": (Reason.MIXED_SERIES, edited(lambda s: each(s[7:], Manufacturer="Philips"))),
    "two image types": (
        Reason.MIXED_SERIES,
        edited(lambda s: each(s[::2], ImageType=["DERIVED", "SECONDARY", "AXIAL", "VMI"])),
    ),
    "two kernels": (Reason.MIXED_SERIES, edited(lambda s: each(s[::2], ConvolutionKernel="B70f"))),
    "two pixel sizes": (Reason.MIXED_SERIES, edited(lambda s: each(s[::2], PixelSpacing=["1.8", "1.8"]))),
    "two frames of reference": (Reason.MIXED_SERIES, edited(lambda s: each(s[7:], FrameOfReferenceUID="2.25.7"))),
    "two orientations": (
        Reason.MIXED_SERIES,
        edited(lambda s: each(s[7:], ImageOrientationPatient=["0", "1", "0", "0", "0", "-1"])),
    ),
    "two matrices": (
        Reason.MIXED_SERIES,
        edited(lambda s: each(s[7:], Rows=28, Columns=24)),
    ),
    "pixels cut": (Reason.TRUNCATED, lambda folder: cut(folder, 100)),
    "compressed pixels cut": (Reason.TRUNCATED, lambda folder: cut(folder, 100, compress)),
    "compressed pixels without an end": (Reason.TRUNCATED, lambda folder: cut(folder, 8, compress)),
    "no pixels": (Reason.TRUNCATED, edited(lambda s: drop(s[3:4], "PixelData"))),
    "fewer pixels than rows": (Reason.TRUNCATED, edited(lambda s: each(s[3:4], PixelData=b"\0" * 1000))),
    "garbage for compressed pixels": (Reason.UNREADABLE, edited(_garbage)),
    "a header of very many elements": (Reason.UNREADABLE, _crowd),
    "a header of very many bytes": (Reason.UNREADABLE, _heavy),
    "junk among the files": (Reason.UNREADABLE, _junk_file),
    "floating-point pixels": (Reason.UNSUPPORTED_FORMAT, edited(_floating_point)),
    "12 bits allocated": (
        Reason.UNSUPPORTED_FORMAT,
        edited(lambda s: each(s, BitsAllocated=12, BitsStored=12, HighBit=11)),
    ),
    "no slope": (Reason.NO_RESCALE, edited(lambda s: drop(s, "RescaleSlope"))),
    "no intercept": (Reason.NO_RESCALE, edited(lambda s: drop(s[:1], "RescaleIntercept"))),
    "slope NaN": (Reason.NOT_FINITE, edited(lambda s: each(s[2:3], RescaleSlope="nan"))),
    "intercept infinite": (Reason.NOT_FINITE, edited(lambda s: each(s, RescaleIntercept="-inf"))),
    "overflow": (Reason.NOT_FINITE, edited(lambda s: each(s, RescaleSlope="1e306"))),
    "no air": (Reason.NOT_HOUNSFIELD, edited(lambda s: each(s, RescaleIntercept="0"))),
    "other unit": (Reason.NOT_HOUNSFIELD, edited(lambda s: each(s, RescaleType="Z_EFF"))),
    "no unit": (Reason.NOT_HOUNSFIELD, edited(lambda s: each(s, RescaleType="US"))),
    "no air but padding": (Reason.NOT_HOUNSFIELD, edited(_padded_and_too_dense)),
    "MIP": (Reason.NOT_HOUNSFIELD, edited(lambda s: each(s, ImageType=["DERIVED", "SECONDARY", "AXIAL", "CSA MIP"]))),
    "MINIP": (Reason.NOT_HOUNSFIELD, edited(lambda s: each(s, ImageType=["DERIVED", "SECONDARY", "MINIP"]))),
    "projection": (
        Reason.NOT_HOUNSFIELD,
        edited(lambda s: each(s, ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"])),
    ),
    "nine slices": (Reason.TOO_FEW_SLICES, edited(lambda s: s.__delitem__(slice(9, None)))),
    "8×8": (Reason.TOO_SMALL, _small(8)),
    "1×1": (Reason.TOO_SMALL, _small(1)),
    f"{GIANT}×{GIANT}": (Reason.TOO_LARGE, giant),
    "a slice removed": (Reason.MISSING_SLICES, edited(lambda s: s.__delitem__(6))),
    "two slices removed": (Reason.MISSING_SLICES, edited(lambda s: s.__delitem__(slice(6, 8)))),
    "a slice doubled": (Reason.DUPLICATE_SLICES, edited(_double)),
    "an instance UID doubled": (Reason.DUPLICATE_SLICES, edited(_one_name_twice)),
    "a file copied": (Reason.DUPLICATE_SLICES, _copy_of_a_file),
    "one uneven gap": (Reason.UNEVEN_SPACING, edited(lambda s: shift(s, lambda z: (0, 0, 1.4 if z > 6 else 0)))),
    "7° tilt": (Reason.TILTED, edited(tilt)),
    "no position": (Reason.BAD_GEOMETRY, edited(lambda s: drop(s[3:4], "ImagePositionPatient"))),
    "axes not at right angles": (
        Reason.BAD_GEOMETRY,
        edited(lambda s: each(s, ImageOrientationPatient=["1", "0", "0", "0.6", "0.8", "0"])),
    ),
    "no pixel size": (Reason.BAD_GEOMETRY, edited(lambda s: each(s, PixelSpacing=["0", "0"]))),
    "one slice aside": (Reason.BAD_GEOMETRY, edited(lambda s: shift(s, lambda z: (9 if z == 5 else 0, 0, 0)))),
}
"""Name of the fault → the one code that is right, and what writes such a series into a folder."""
