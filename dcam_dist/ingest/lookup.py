"""From the id that a user knows a case by to the id that the cohort knows it by."""

from collections.abc import Sequence

from dcam_dist.cohort import Cohort
from dcam_dist.errors import UsageError
from dcam_dist.ingest.identity import PrivateIdentity, load_identity, private_path

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
    known = {case.case_id for case in cohort.cases}
    secret: PrivateIdentity | None = None
    found: dict[str, None] = {}
    for position, name in enumerate(names, start=1):
        if name not in known and secret is None:
            secret = load_identity(private_path(cohort.path))
        found[name if name in known or secret is None else _by_mapping(cohort, secret, known, name, position)] = None
    return tuple(found)


def _by_mapping(cohort: Cohort, secret: PrivateIdentity, known: set[str], name: str, position: int) -> str:
    origins = {case_id: origin for case_id, origin in secret.cases.items() if case_id in known}
    given = [case_id for case_id, origin in origins.items() if origin.get("case_id") == name]
    fitting = given or [case_id for case_id, origin in origins.items() if origin.get("patient") == _PATIENT + name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(f"--case number {position} names {len(fitting)} cases: {', '.join(sorted(fitting))}; pick one")
    where = f"ids are in {cohort.path / 'cases.json'}"
    mapping = private_path(cohort.path)
    without = "" if mapping.is_file() else f"; other ids need {mapping}, which is not there"
    raise UsageError(f"{cohort.path}: no case fits --case number {position}; {where}{without}")
