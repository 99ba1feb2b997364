"""``RUN/set_aside.json``: the training cases that a run went on without, because their stored volumes were damaged."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dcam_dist.errors import DataError, EnvironmentFault

SET_ASIDE = "set_aside.json"


@dataclass(frozen=True)
class SetAsideCase:
    """A case that a run went on without.

    Attributes:
        case_id: The case.
        epoch: When it was met, from 0; after the last epoch, in the closing extraction, their number.
        phase: ``stage``, ``extract``, ``train`` or ``validate``.
        reason: What is wrong with it.
    """

    case_id: str
    epoch: int
    phase: str
    reason: str


def read_set_aside(run: Path) -> tuple[SetAsideCase, ...]:
    """The cases set aside in all starts of a run; none where there is no such file.

    Raises:
        DataError: When the file is damaged.
    """
    path = run / SET_ASIDE
    if not path.is_file():
        return ()
    try:
        return tuple(SetAsideCase(**tree) for tree in json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise DataError(f"{path}: damaged; remove it, the run does not need it") from None


def write_set_aside(run: Path, cases: Sequence[SetAsideCase]) -> None:
    """Write the list, or remove the file when nothing is on it.

    Raises:
        EnvironmentFault: When it cannot be written.
    """
    path = run / SET_ASIDE
    try:
        if cases:
            temporary = path.with_name(f".{SET_ASIDE}")
            temporary.write_text(json.dumps([asdict(case) for case in cases], indent=1), encoding="utf-8")
            temporary.replace(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be written ({error.strerror})") from None
