"""From the id that a user knows a case by to the id that the cohort knows it by."""

from collections.abc import Mapping, Sequence

from dcam_dist.cohort import Cohort
from dcam_dist.errors import UsageError
from dcam_dist.ingest.identity import load_identity, private_path

_PATIENT = "patient:"


def resolve_case_ids(cohort: Cohort, names: Sequence[str]) -> tuple[str, ...]:
    """The cohort's ids of some cases, each once, in the order named.

    A name is the cohort's own id or, where the cohort's private file is at hand, the ``case_id`` that the case table
    gave, or a PatientID that names one scan only.

    Args:
        cohort: The opened cohort.
        names: As a user gives them.

    Raises:
        UsageError: When a name fits no case or several. Says which of the names by its position, for the name itself
            may be a patient's.
        DataError: When the private file is damaged.
    """
    found: dict[str, None] = {}
    for position, fitting in enumerate(fitting_cases(cohort, names), start=1):
        if len(fitting) != 1:
            raise UsageError(_misfit(cohort, position, fitting))
        found[fitting[0]] = None
    return tuple(found)


def fitting_cases(cohort: Cohort, names: Sequence[str]) -> list[tuple[str, ...]]:
    """The cohort's ids of all cases that each name fits, as ``resolve_case_ids`` takes names.

    Raises:
        DataError: When the private file is damaged.
    """
    known = {case.case_id for case in cohort.cases}
    if known.issuperset(names):
        return [(name,) for name in names]
    origins = load_identity(private_path(cohort.path)).cases
    given, patients = (_by_origin(origins, known, field) for field in ("case_id", "patient"))
    return [(name,) if name in known else given.get(name) or patients.get(_PATIENT + name, ()) for name in names]


def _by_origin(origins: Mapping[str, Mapping[str, str]], known: set[str], field: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for case_id, origin in origins.items():
        if case_id in known and field in origin:
            found[origin[field]] = (*found.get(origin[field], ()), case_id)
    return found


def _misfit(cohort: Cohort, position: int, fitting: tuple[str, ...]) -> str:
    if fitting:
        return f"--case number {position} names {len(fitting)} cases: {', '.join(sorted(fitting))}; pick one"
    mapping = private_path(cohort.path)
    without = "" if mapping.is_file() else f"; other ids need {mapping}, which is not there"
    where = f"ids are in {cohort.path / 'cases.json'}"
    return f"{cohort.path}: no case fits --case number {position}; {where}{without}"
