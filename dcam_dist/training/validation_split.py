"""Training patients that are kept out of training, to stop early on."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import DataError


def validation_rows(
    patient_N: Sequence[str], grade_N: NDArray[np.int64], *, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Choose the cases to validate on, whole patients at a time.

    Patients are ranked within their highest grade by a seeded hash of their key, and taken across the grades from the
    first ranks down, so each grade gives about the same share. A patient is passed over where training would lose its
    last case of a grade. The choice depends neither on the order of the cases nor on the number of ranks.

    Args:
        patient_N: The patient of each training case.
        grade_N: Its grade, int64; a negative one is none, and such a case is on neither side.
        fraction: Share of the patients with a grade: rounded, and at least one where it is not zero.
        seed: Of the choice.

    Returns:
        Which cases to validate on, (N,).

    Raises:
        DataError: When every patient has the last case of some grade.
    """
    rows = _rows_by_patient(patient_N, grade_N)
    wanted = max(1, round(fraction * len(rows))) if fraction else 0
    left_K = np.bincount(grade_N[grade_N >= 0])
    chosen_N = np.zeros(len(grade_N), dtype=np.bool_)
    for patient in _across_grades(rows, grade_N, seed):
        taken_K = np.bincount(grade_N[rows[patient]], minlength=len(left_K))
        if wanted and not ((taken_K > 0) & (taken_K == left_K)).any():
            left_K, wanted = left_K - taken_K, wanted - 1
            chosen_N[rows[patient]] = True
    if fraction and not chosen_N.any():
        raise DataError(
            "no patient can be kept out for validation without taking the last training case of a grade; set "
            "supervised.validation_fraction=0 or add cases"
        )
    return chosen_N


def _rows_by_patient(patient_N: Sequence[str], grade_N: NDArray[np.int64]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, patient in enumerate(patient_N):
        if grade_N[row] >= 0:
            rows.setdefault(patient, []).append(row)
    return rows


def _across_grades(rows: dict[str, list[int]], grade_N: NDArray[np.int64], seed: int) -> list[str]:
    """Patients by (rank + ½) / patients of their grade: any first share of the list has that share of each grade."""
    of_grade: dict[int, list[str]] = {}
    for patient in sorted(rows, key=lambda patient: _draw(patient, seed)):
        of_grade.setdefault(int(grade_N[rows[patient]].max()), []).append(patient)
    places = [
        ((rank + 0.5) / len(patients), _draw(patient, seed), patient)
        for patients in of_grade.values()
        for rank, patient in enumerate(patients)
    ]
    return [patient for _, _, patient in sorted(places)]


def _draw(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"validation|{seed}|{patient}".encode("utf-8", "surrogateescape")).digest()
