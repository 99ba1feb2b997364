"""The scores of a run, read back from where ``evaluate`` left them in it."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dcam_dist.cohort.layout import read_json
from dcam_dist.errors import DataError
from dcam_dist.evaluation.evaluate import JSON_FILE
from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.runs import RestoredRun


@dataclass(frozen=True, eq=False)
class StoredEvaluation:
    """What ``evaluation.json`` says, as far as it is read back.

    Attributes:
        method: Of the run.
        seed: Likewise.
        epochs: How many it had been trained for.
        rows: Scores by row name; one that was undefined is None.
    """

    method: str
    seed: int
    epochs: int
    rows: dict[str, MethodScores]


def read_evaluation(run: Path) -> StoredEvaluation | None:
    """The evaluation that lies in a run's folder, of whatever state of it; ``None`` where there is none.

    Raises:
        DataError: When the file is damaged.
    """
    file = run / JSON_FILE
    if not file.is_file():
        return None
    try:
        return TypeAdapter(StoredEvaluation).validate_python(read_json(file))
    except (ValidationError, DataError):
        raise DataError(f"{file}: damaged; make it anew with: dcam-dist evaluate {run}") from None


def evaluation_of(run: RestoredRun) -> StoredEvaluation | None:
    """The evaluation of a run as it is now; ``None`` where it was not evaluated, or is in another state by now.

    Raises:
        DataError: When the file is damaged.
    """
    found, now = read_evaluation(run.path), (run.config.method, run.config.seed, run.checkpoint.epoch)
    return found if found is not None and (found.method, found.seed, found.epochs) == now else None
