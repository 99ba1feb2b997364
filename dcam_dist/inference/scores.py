"""The scores of a run, read back from where ``evaluate`` left them in it."""

from pydantic import TypeAdapter, ValidationError

from dcam_dist.cohort.layout import read_json
from dcam_dist.errors import DataError
from dcam_dist.evaluation.evaluate import JSON_FILE
from dcam_dist.evaluation.scoring import MethodScores
from dcam_dist.runs import RestoredRun

Scores = dict[str, MethodScores]


def read_scores(run: RestoredRun) -> Scores:
    """The scores of a run by row; none where it was not evaluated, or is another run by now.

    Raises:
        DataError: When the file is damaged.
    """
    file, config = run.path / JSON_FILE, run.config
    if not file.is_file():
        return {}
    try:
        tree = read_json(file)
        if (tree["method"], tree["seed"], tree["epochs"]) != (config.method, config.seed, run.checkpoint.epoch):
            return {}
        return TypeAdapter(Scores).validate_python(tree["rows"])
    except (KeyError, TypeError, ValidationError, DataError):
        raise DataError(f"{file}: damaged; make it anew with: dcam-dist evaluate {run.path}") from None
