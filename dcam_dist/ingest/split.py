"""Patients into train and test."""

import hashlib
from collections.abc import Sequence

from dcam_dist.errors import DataError
from dcam_dist.types import Split


def assign_splits(
    patients: Sequence[str],
    given: Sequence[Split | None],
    case_ids: Sequence[str],
    *,
    test_fraction: float,
    seed: int,
) -> tuple[Split, ...]:
    """Give every case a split, all cases of a patient the same one.

    A case without a split follows its patient where another case of the patient has one. The remaining patients are
    drawn in the order of a seeded hash of their identity, so the draw depends neither on the order of the cases nor
    on the cohort's secret key.

    Args:
        patients: The patient of each case, any stable identity.
        given: The split that the table gives each case, if any.
        case_ids: Names of the cases, for the error.
        test_fraction: Share of the drawn patients that goes to test: rounded, at least one where it is not zero, and
            never all, as long as there are two patients to draw.
        seed: Seed of the draw.

    Raises:
        DataError: When the table puts one patient in both splits; names the cases.
    """
    of_patient: dict[str, Split] = {}
    for patient, split in zip(patients, given, strict=True):
        if split is not None and of_patient.setdefault(patient, split) != split:
            raise DataError(_conflict(patient, patients, given, case_ids))
    undecided = sorted(set(patients) - set(of_patient), key=lambda patient: _draw(patient, seed))
    tests = _test_count(len(undecided), test_fraction)
    for index, patient in enumerate(undecided):
        of_patient[patient] = "test" if index < tests else "train"
    return tuple(of_patient[patient] for patient in patients)


def _test_count(patients: int, test_fraction: float) -> int:
    if patients < 2 or test_fraction == 0:
        return 0
    return min(max(round(test_fraction * patients), 1), patients - 1)


def _draw(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}|{patient}".encode("utf-8", "surrogateescape")).digest()


def _conflict(patient: str, patients: Sequence[str], given: Sequence[Split | None], case_ids: Sequence[str]) -> str:
    rows = zip(patients, given, case_ids, strict=True)
    named = ", ".join(f"{case_id} ({split})" for owner, split, case_id in rows if owner == patient and split)
    return f"one patient is in both splits: {named}; give all cases of a patient the same split"
