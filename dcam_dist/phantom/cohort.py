"""The generated cohort on disk: images, lung masks, lesion masks and their table."""

import csv
from pathlib import Path
from typing import Final, Literal

from dcam_dist.errors import UsageError
from dcam_dist.phantom.case import PhantomCase, make_case
from dcam_dist.phantom.dicom_series import write_dicom_series
from dcam_dist.phantom.grades import draw_diseases
from dcam_dist.phantom.nifti import write_nifti

ImageFormat = Literal["dicom", "nifti"]
Row = dict[str, str | int | float]

MAX_CASES: Final = 9999
MATRIX: Final = (96, 512)
TABLE = "cases.csv"


def write_phantom_cohort(
    out: Path, *, cases: int, seed: int = 0, format: ImageFormat = "dicom", matrix: int = 128
) -> Path:
    """Write a cohort of generated chest CTs.

    A case's patient and scanner depend on the seed and its place alone; the grades are shared out over the cohort, so
    a larger cohort keeps the earlier patients but may give them another grade. The same arguments give the same bytes
    (with the same versions of the libraries). The table is written last: a folder without it is unfinished.

    Args:
        out: A folder that does not exist yet or is empty.
        cases: Number of cases, one a patient.
        seed: Decides the whole cohort; 0 or more.
        format: ``dicom``: each image is a folder of slices; ``nifti``: one file. Masks are NIfTI either way.
        matrix: Rows and columns of the slices; above 128 the slices grow thinner as well.

    Returns:
        The table, ``out/cases.csv``: ``case_id, image, lung_mask, label, patient_id, lesion_mask, paraseptal``, then
        scanner and patient data; paths relative to the table.

    Raises:
        UsageError: For an argument out of range, or when ``out`` is a file or holds something already.
    """
    _check(out, cases, seed, format, matrix)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, disease in enumerate(draw_diseases(cases, seed)):
        case = make_case(index, disease, seed=seed, matrix=matrix)
        rows.append(_write_case(case, out, index, seed, format))
    return _write_table(out / TABLE, rows)


def _check(out: Path, cases: int, seed: int, format: str, matrix: int) -> None:
    if not 1 <= cases <= MAX_CASES:
        raise UsageError(f"a phantom cohort has 1 to {MAX_CASES} cases, not {cases}")
    if seed < 0:
        raise UsageError(f"the phantom's seed must be 0 or more, not {seed}")
    if format not in ("dicom", "nifti"):
        raise UsageError(f"the phantom is written as dicom or nifti, not {format!r}")
    if not MATRIX[0] <= matrix <= MATRIX[1]:
        raise UsageError(f"the phantom's matrix must be {MATRIX[0]} to {MATRIX[1]}, not {matrix}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; name a folder for the phantom cohort")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; name a new folder for the phantom cohort")


def _write_case(case: PhantomCase, out: Path, index: int, seed: int, format: ImageFormat) -> Row:
    """Write one case's files and return its row of the table."""
    patient_id = f"PHANTOM{index + 1:04d}"
    case_id = f"phantom-{index + 1:04d}"
    folder = out / case_id
    folder.mkdir()
    image = folder / ("ct" if format == "dicom" else "ct.nii.gz")
    if format == "dicom":
        key = f"{seed}/{index}/{case.hu.shape}"
        write_dicom_series(case, image, case_key=key, patient_id=patient_id)
    else:
        write_nifti(case.hu, case.protocol, image)
    lung_mask, lesion_mask = folder / "lung_mask.nii.gz", folder / "lesion_mask.nii.gz"
    write_nifti(case.lung_mask, case.protocol, lung_mask)
    write_nifti(case.lesion_mask, case.protocol, lesion_mask)
    paths = {"image": image, "lung_mask": lung_mask, "lesion_mask": lesion_mask}
    return {
        "case_id": case_id,
        "patient_id": patient_id,
        **{name: path.relative_to(out).as_posix() for name, path in paths.items()},
        **_description(case),
    }


def _description(case: PhantomCase) -> Row:
    protocol = case.protocol
    return {
        "label": case.disease.grade,
        "paraseptal": case.disease.paraseptal,
        "kernel": protocol.kernel,
        "kernel_type": "sharp" if protocol.sharp else "smooth",
        "manufacturer": protocol.manufacturer,
        "kvp": protocol.kvp,
        "noise_hu": protocol.noise_hu,
        "pixel_mm": protocol.spacing_mm[1],
        "slice_mm": protocol.spacing_mm[0],
        **case.covariates,
    }


def _write_table(path: Path, rows: list[Row]) -> Path:
    first = ("case_id", "image", "lung_mask", "label", "patient_id", "lesion_mask")
    columns = [*first, *(name for name in rows[0] if name not in first)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path
