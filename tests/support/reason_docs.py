"""``docs/reason_codes.md``, rendered from its sources: ``python tests/support/reason_docs.py`` writes it anew."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.odd_table import ODD, OddSet

from dcam_dist.errors import Reason
from dcam_dist.ingest.case import APART, THICK_MM
from dcam_dist.ingest.dicom_checks import MIN_MATRIX, MIN_SLICES
from dcam_dist.ingest.dicom_file import ELEMENT_LIMIT, HEADER_LIMIT
from dcam_dist.ingest.quality.advice import WHAT_TO_DO

PAGE = Path(__file__).parents[2] / "docs" / "reason_codes.md"

MEANING: dict[Reason, str] = {
    Reason.MISSING_FILE: "A file that the table or the series names is not there.",
    Reason.UNREADABLE: "A file or folder that cannot be opened, a file that cannot be parsed, a name not in UTF-8, "
    f"a header beyond {HEADER_LIMIT >> 20} MiB or {ELEMENT_LIMIT:,} elements, or compressed pixels that cannot be "
    "decoded within the limits. Files without a series of their own make one entry a folder.",
    Reason.TRUNCATED: "A file is shorter than its header says, or its compressed pixels have no end.",
    Reason.UNSUPPORTED_FORMAT: "No format that ingest reads, or pixels that are no integers of 8, 16 or 32 bits.",
    Reason.WRONG_MODALITY: "No CT image, by modality or class: MR, PET, segmentation, dose, plan.",
    Reason.LOCALIZER: "A scout view.",
    Reason.COLOUR: "Several values a voxel, or stored values that are entries of a palette.",
    Reason.SECONDARY_CAPTURE: "A screen capture or another image made from images.",
    Reason.BURNED_IN: "The header says that annotation is burned into the pixels, or does not clearly say no.",
    Reason.ENHANCED_MULTIFRAME: "A multi-frame file that is not one regular CT volume; the other codes tell why.",
    Reason.NO_RESCALE: "Rescale slope or intercept is missing, so that stored values are no HU.",
    Reason.TOO_FEW_SLICES: f"Fewer than {MIN_SLICES} slices.",
    Reason.MISSING_SLICES: "Gaps of a multiple of the slice distance.",
    Reason.DUPLICATE_SLICES: "Slices at the place of another, or one instance twice.",
    Reason.MIXED_SERIES: "Slices of several patients, studies, scanners, tube voltages, image types, kernels, "
    "pixel sizes, orientations, matrices or frames of reference; or a part of such a series.",
    Reason.UNEVEN_SPACING: "Slice distances that differ by no whole multiple, or drift.",
    Reason.TILTED: "The stack leans against its slices, as with a tilted gantry.",
    Reason.BAD_GEOMETRY: "Position, orientation or voxel size is missing or impossible, or slices lie sideways.",
    Reason.TOO_LARGE: "More voxels than `ingest.max_voxels`, by the header; nothing is allocated.",
    Reason.TOO_SMALL: f"A matrix below {MIN_MATRIX}×{MIN_MATRIX}.",
    Reason.NOT_FINITE: "NaN or infinite voxels or rescale values.",
    Reason.NOT_HOUNSFIELD: "Values without air (padding is none) or soft tissue, or a header that says they are no HU: "
    "another or no unit, a projection (MIP, MinIP).",
    Reason.MASK_MISMATCH: "A given lung mask of another shape or place than the scan, without labels, or not of lungs.",
    Reason.MASK_EMPTY: "The given lung mask holds no voxel.",
    Reason.NO_LUNGS: "No plausible lungs were found.",
    Reason.LUNGS_CUT: "The first or last slice cuts the lungs.",
    Reason.LUNGS_EXCEED_GRID: "The lungs do not fit on the training grid.",
    Reason.BAD_LABEL: "The label of the row is none of the label set.",
    Reason.BAD_SPLIT: "The split of the row is neither train nor test.",
    Reason.WORKER_DIED: "The process died with this case, again and again.",
}

_INTRODUCTION = f"""\
# Reason codes

A case that cannot be used is set aside with one reason code, one line of detail, and the codes of everything else that
was found wrong. The run goes on. All checks of a DICOM series run on its headers before any pixel is read, so the list
is whole: a series of MR slices with a gap has both codes. What comes after – pixels, HU, lungs, grid – is looked at
only where the headers are right.

A gantry that was tilted by up to 35° is no fault with `ingest.resample_tilt=true`: each slice is shifted within its
plane onto a right-angled grid, air beyond it. The case then has the flag `tilt_resampled`, the angle as the covariate
`gantry_tilt_deg`, and that grid as its scan space.

Some findings are flags, which set nothing aside: `thick_slices` (thickness or distance above {THICK_MM:g} mm),
`slices_apart` (a distance above {APART:g} times the thickness, as where every second slice is missing), and
`series_incomplete` (slices of another orientation or matrix lie outside the scan under the same series; where they lie
among its slices or are as many, both parts are `mixed_series`).

Compressed pixels are decoded by a process of their own with `ingest.decode_memory_gb` and `ingest.decode_timeout_s`; a
stream that crashes it, or needs more, makes its case `unreadable` and harms no other.
"""

_ODD = """
## What is said of odd files

Broken and unusual samples, and all codes that are right for them. Most hold a few slices only, so the first codes would
hide the rest: each code is proved besides on a whole chest series that is broken in that one way.
"""


def render() -> str:
    """The whole page."""
    codes = [f"| `{reason}` | {MEANING[reason]} | {WHAT_TO_DO[reason]} |" for reason in Reason]
    odd = [f"| `{path}` | {odd.what} | {_entries(odd)} | {odd.why} |" for path, odd in ODD.items()]
    parts = [_INTRODUCTION, "| Code | What was found | What to do |", "|---|---|---|", *codes]
    return "\n".join([*parts, _ODD, "| File set | What it is | Codes | Why |", "|---|---|---|---|", *odd, ""])


def _entries(odd: OddSet) -> str:
    return "; and ".join(", ".join(f"`{code}`" for code in sorted(codes)) for codes in odd.entries)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
