"""What a reason code or a flag means to the person who has to do something about it."""

from dcam_dist.errors import Reason

WHAT_TO_DO = {
    Reason.MISSING_FILE: "Mount the disk or mend the path in the table, then ingest again.",
    Reason.UNREADABLE: "Check permissions; copy or export the files again; if it happens again, report the case.",
    Reason.TRUNCATED: "The files end too early: copy or export them again.",
    Reason.UNSUPPORTED_FORMAT: "Convert to DICOM, NIfTI, NRRD or MetaImage.",
    Reason.WRONG_MODALITY: "Not a CT: leave it out.",
    Reason.LOCALIZER: "A scout image: choose the axial series of the study.",
    Reason.COLOUR: "A colour picture: choose the original series.",
    Reason.SECONDARY_CAPTURE: "A capture or derived image: choose the original series.",
    Reason.BURNED_IN: "Text in the pixels may name the patient: choose the original series.",
    Reason.ENHANCED_MULTIFRAME: "Not a regular CT volume in one file: export it as classic CT slices.",
    Reason.NO_RESCALE: "If the values are known to be HU, ingest with --assume-hu.",
    Reason.TOO_FEW_SLICES: "Incomplete transfer or no chest scan: fetch the whole series.",
    Reason.MISSING_SLICES: "Fetch the whole series again.",
    Reason.DUPLICATE_SLICES: "Two copies or two reconstructions in one series: keep one.",
    Reason.MIXED_SERIES: "Several series under one id: separate them, and name the one to use.",
    Reason.UNEVEN_SPACING: "Slices are missing or were acquired unevenly: fetch the series again, or leave it out.",
    Reason.TILTED: "The gantry was tilted: set ingest.resample_tilt=true, or leave it out.",
    Reason.BAD_GEOMETRY: "The headers do not say where the voxels are: export the series again.",
    Reason.TOO_LARGE: "Choose a chest series, or raise ingest.max_voxels.",
    Reason.TOO_SMALL: "No whole chest: choose another series.",
    Reason.NOT_FINITE: "Write the volume again without NaN and infinite values.",
    Reason.NOT_HOUNSFIELD: "A mask, a projection, or normalized or raw values: give the CT in HU.",
    Reason.MASK_MISMATCH: "Give a label mask of this scan's lungs, or leave it out to have one computed.",
    Reason.MASK_EMPTY: "Give another mask, or leave it out to have one computed.",
    Reason.NO_LUNGS: "Look at the picture. If lungs are there, give a mask in the table's column lung_mask.",
    Reason.LUNGS_CUT: "The scan does not hold whole lungs: choose another series, or set ingest.allow_cut_lungs=true.",
    Reason.LUNGS_EXCEED_GRID: "Enlarge grid.shape or grid.spacing_mm, or set grid.fit=stretch.",
    Reason.BAD_LABEL: "Mend the label in the table: a name of the label set, or its number.",
    Reason.BAD_SPLIT: "Mend the split in the table: train or test.",
    Reason.WORKER_DIED: "Out of memory, most likely: raise ingest.memory_limit_gb.",
}


def what_to_do(reason: str) -> str:
    """Advice on a reason code; a code of another release is told by its details."""
    return WHAT_TO_DO.get(Reason(reason), "") if reason in set(Reason) else "See the details of its cases."
