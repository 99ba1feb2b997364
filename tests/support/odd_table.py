"""Broken and unusual DICOM files, and all reason codes that are right for each set of them.

The table is judged from the files' headers by hand, not copied from what ingest says. Each entry of a set is one scan
as ingest tells them apart: the codes of its quarantine entry, and why they are right where that is not plain.
"""

from dataclasses import dataclass

from dcam_dist.errors import Reason

R = Reason
MR = frozenset({R.WRONG_MODALITY, R.NO_RESCALE, R.TOO_FEW_SLICES})
"""What is right for a few slices of MR: it has no rescale tags, and needs none."""


@dataclass(frozen=True)
class OddSet:
    """What ingest must say of a set of files.

    Attributes:
        what: What the files are.
        entries: The codes of each scan that is found in them.
        why: What may surprise about them.
    """

    what: str
    entries: tuple[frozenset[Reason], ...]
    why: str = ""


def _one(what: str, *codes: Reason, why: str = "") -> OddSet:
    return OddSet(what, (frozenset(codes),), why)


def _mr(what: str, *more: Reason, why: str = "") -> OddSet:
    return OddSet(what, (MR | set(more),), why)


ODD: dict[str, OddSet] = {
    "pydicom/CT_small.dcm": _one("one CT slice", R.TOO_FEW_SLICES),
    "pydicom/ExplVR_BigEnd.dcm": _one(
        "colour ultrasound, big-endian",
        *(R.WRONG_MODALITY, R.COLOUR, R.NO_RESCALE, R.TOO_FEW_SLICES, R.BAD_GEOMETRY),
        why="ultrasound has no position in the patient",
    ),
    "pydicom/J2K_pixelrep_mismatch.dcm": _one(
        "one CT slice of a tilted head, JPEG 2000 of another sign than its header",
        R.TOO_FEW_SLICES,
        why="one slice alone cannot lean, and the pixels are read right",
    ),
    "pydicom/MR_small.dcm": _mr("one MR slice"),
    "pydicom/MR_small_bigendian.dcm": _mr("one MR slice, big-endian"),
    "pydicom/MR_truncated.dcm": _mr("one MR slice, its pixels cut short", R.TRUNCATED),
    "pydicom/SC_rgb_rle.dcm": _one(
        "colour secondary capture, run-length encoded",
        *(R.WRONG_MODALITY, R.SECONDARY_CAPTURE, R.COLOUR, R.NO_RESCALE, R.TOO_FEW_SLICES, R.BAD_GEOMETRY),
    ),
    "pydicom/badVR.dcm": _one(
        "radiotherapy dose of 15 frames, which its header counts as “1A”",
        *(R.WRONG_MODALITY, R.NO_RESCALE, R.TOO_FEW_SLICES, R.TOO_SMALL),
        why="a malformed count reads as absent, so it is one frame of 10×10",
    ),
    "pydicom/dicomdirtests": _one(
        "DICOMDIR and four CT slices of 16×16, one of them 202 mm away",
        *(R.TOO_FEW_SLICES, R.MISSING_SLICES),
        why="the DICOMDIR is passed over; 16×16 is just large enough",
    ),
    "pydicom/image_dfl.dcm": _one(
        "secondary capture, deflated",
        *(R.WRONG_MODALITY, R.SECONDARY_CAPTURE, R.NO_RESCALE, R.TOO_FEW_SLICES, R.BAD_GEOMETRY),
    ),
    "pydicom/liver_1frame.dcm": _one(
        "segmentation of one frame of 1-bit pixels, with the places of three",
        *(R.WRONG_MODALITY, R.ENHANCED_MULTIFRAME, R.UNSUPPORTED_FORMAT, R.TOO_FEW_SLICES),
        *(R.NO_RESCALE, R.BAD_GEOMETRY),
        why="which place is the frame's cannot be known",
    ),
    "pydicom/meta_missing_tsyntax.dcm": _one(
        "DICOM by its magic number, without class, series and transfer syntax", R.UNREADABLE
    ),
    "pydicom/no_meta.dcm": _one(
        "CT slice without preamble and meta header, behind one byte of rubbish",
        R.UNREADABLE,
        why="the byte shifts every element; files that only lack preamble and meta header are read",
    ),
    "pydicom/rtplan_truncated.dcm": _one(
        "radiotherapy plan, cut within its last element",
        *(R.WRONG_MODALITY, R.TRUNCATED),
        why="a plan has no pixels, so nothing of an image can be missing",
    ),
    "pydicom-data/eCT_Supplemental.dcm": _one(
        "enhanced CT: perfusion map of two frames, partly colour",
        *(R.ENHANCED_MULTIFRAME, R.COLOUR, R.NOT_HOUNSFIELD, R.TOO_FEW_SLICES),
        why="its frames are said to be shown in colour and to hold no HU (rescale type US)",
    ),
    "pydicom-data/emri_small.dcm": _one(
        "enhanced MR of ten frames without functional groups",
        *(R.ENHANCED_MULTIFRAME, R.WRONG_MODALITY, R.NO_RESCALE, R.BAD_GEOMETRY),
        why="ten frames are enough, but nothing says where they lie",
    ),
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm": _one(
        "the same in JPEG 2000, its pixels without an end",
        *(R.ENHANCED_MULTIFRAME, R.WRONG_MODALITY, R.NO_RESCALE, R.BAD_GEOMETRY, R.TRUNCATED),
    ),
    "wg04_compressed_ct": OddSet(
        "one CT slice in six compressed syntaxes",
        (frozenset({R.TOO_FEW_SLICES}), frozenset({R.TOO_FEW_SLICES, R.DUPLICATE_SLICES})),
        "five are filed as one series, at one place; the run-length encoded one as another",
    ),
    "dicom2nifti/failing/gantrytilting/001": _one("four CT slices, gantry tilted by 14°", R.TILTED, R.TOO_FEW_SLICES),
    "dicom2nifti/failing/notavolume/001": _one("four CT slices at one place", R.DUPLICATE_SLICES, R.TOO_FEW_SLICES),
    "dicom2nifti/failing/slicecount/001": _mr("two MR slices"),
    "dicom2nifti/failing/sliceincrement/001": _one(
        "four CT slices, the third gap twice as wide", R.MISSING_SLICES, R.TOO_FEW_SLICES
    ),
    "dicom2nifti/failing/sliceincrement/002": _one(
        "four of five CT slices of a head",
        *(R.MISSING_SLICES, R.TILTED, R.TOO_FEW_SLICES),
        why="the slices are turned by 15° but follow the table's axis, and so slip by 0.8 mm, more than a pixel",
    ),
    "dicom2nifti/failing/sliceorientation/001": OddSet(
        "two and two MR slices of two orientations under one series",
        (MR | {R.MIXED_SERIES}, MR | {R.MIXED_SERIES}),
        "neither pair can stand for the series",
    ),
    "dicom2nifti/ge/anatomical/001_single_slice": _mr("one MR slice"),
    "dicom2nifti/generic/compressed_j2k/001": _mr("four MR slices, JPEG 2000"),
    "dicom2nifti/generic/compressed_jpeg/001": _mr("four MR slices, lossless JPEG"),
    "dicom2nifti/generic/compressed_jpegls/001": _mr("four MR slices, JPEG-LS"),
    "dicom2nifti/generic/compressed_rle/001": _mr("four MR slices, run-length encoded"),
    "dicom2nifti/philips_enhanced/anatomical/001": _one(
        "enhanced MR of eight frames with functional groups",
        *(R.ENHANCED_MULTIFRAME, R.WRONG_MODALITY, R.NOT_HOUNSFIELD, R.TOO_FEW_SLICES),
        why="it has rescale values, of rescale type US",
    ),
}
"""Path below ``odd`` (the archive ``dicom2nifti.tar.xz`` unpacked) → what is right for it."""
